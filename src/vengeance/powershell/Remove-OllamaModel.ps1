# Removes a model from an Ollama server on this machine, with the blobs that no other model uses.
#
# in:   {"address": "127.0.0.1", "port": 11434, "model": "qwen2.5:3b"}
# out:  {"changed": true, "before": true, "after": false, "reboot_required": false}       before, after: whether it was, is there
#
# https://github.com/ollama/ollama/blob/main/docs/api.md (delete a model; list local models)
# https://learn.microsoft.com/dotnet/api/system.net.httpwebrequest
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$authority = [string] $wanted.address
if ($authority.Contains(':')) { $authority = "[$authority]" }
$base = "http://${authority}:$([int] $wanted.port)/api"

function Read-Answer($request) {
    $response = $request.GetResponse()
    try { return [System.IO.StreamReader]::new($response.GetResponseStream(), [System.Text.Encoding]::UTF8).ReadToEnd() }
    finally { $response.Close() }
}

function Test-Installed([string] $model) {
    $request = [System.Net.HttpWebRequest]::CreateHttp("$base/tags")
    $request.Proxy = $null
    $request.Timeout = 15000
    $answer = ConvertFrom-Json -InputObject (Read-Answer $request)
    return @($answer.models | Where-Object { $null -ne $_ -and $_.name -eq $model }).Count -gt 0
}

$model = [string] $wanted.model
$before = Test-Installed $model
if ($before) {
    $request = [System.Net.HttpWebRequest]::CreateHttp("$base/delete")
    $request.Proxy = $null
    $request.Timeout = 60000
    $request.Method = 'DELETE'
    $request.ContentType = 'application/json'
    $text = ConvertTo-Json -InputObject ([ordered] @{ model = $model }) -Compress -Depth 2
    $bytes = [System.Text.Encoding]::UTF8.GetBytes($text)
    $stream = $request.GetRequestStream()
    $stream.Write($bytes, 0, $bytes.Length)
    $stream.Close()
    [void] (Read-Answer $request)
}

$after = Test-Installed $model
$answer = [ordered] @{ changed = $before -and -not $after; before = $before; after = $after; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 2
