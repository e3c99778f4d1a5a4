# Asks an Ollama server on this machine one of three questions. Changes nothing.
#
# in:   {"address": "127.0.0.1", "port": 11434, "question": "version"}          version, tags or ps
# out:  {"status": 200, "body": "{\"version\":\"0.34.1\"}", "error": null}
#       no answer: {"status": null, "body": null, "error": "Unable to connect to the remote server"}
#
# body: what the server said, as text; it is read where it is used, because ConvertFrom-Json would make other types of it.
# error: for a person; Windows translates it. No proxy is asked: the server is on this machine.
# https://github.com/ollama/ollama/blob/main/docs/api.md
# https://learn.microsoft.com/dotnet/api/system.net.httpwebrequest
# PowerShell wraps what a method throws; the WebException, which holds the answer of a refused request, is inside:
# about_Try_Catch_Finally
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$question = [string] $wanted.question
if (@('version', 'tags', 'ps') -cnotcontains $question) { throw "There is no question '$question' to ask Ollama." }
$authority = [string] $wanted.address
if ($authority.Contains(':')) { $authority = "[$authority]" }

$answer = [ordered] @{ status = $null; body = $null; error = $null }
$request = [System.Net.HttpWebRequest]::CreateHttp("http://${authority}:$([int] $wanted.port)/api/$question")
$request.Proxy = $null
$request.Timeout = 15000
$request.ReadWriteTimeout = 15000
$response = $null
try { $response = $request.GetResponse() }
catch [System.Net.WebException] {
    $refused = $_.Exception
    while ($null -ne $refused.InnerException -and $refused -isnot [System.Net.WebException]) { $refused = $refused.InnerException }
    $answer.error = [string] $refused.Message
    if ($refused -is [System.Net.WebException]) { $response = $refused.Response }
}
if ($null -ne $response) {
    try {
        $answer.status = [int] $response.StatusCode
        $reader = [System.IO.StreamReader]::new($response.GetResponseStream(), [System.Text.Encoding]::UTF8)
        $answer.body = $reader.ReadToEnd()
    }
    finally { $response.Close() }
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2
