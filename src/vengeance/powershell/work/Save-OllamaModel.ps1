# Has an Ollama server on this machine pull a model, and asks again for as long as each attempt gets further.
#
# in:   {"address": "127.0.0.1", "port": 11434, "model": "qwen2.5:3b", "stall_seconds": 300, "pause_seconds": 5, "fruitless": 6}
#       stall_seconds: without a byte for so long, an attempt is given up; fruitless: attempts in a row that may bring nothing;
#       pause_seconds: between two of these, times their number
# out:  {"model": "qwen2.5:3b", "digest": "357c53fb659c...", "size": 1929912432, "attempts": 2}
# Save-Progress gets {"model": "qwen2.5:3b", "status": "pulling 5ee4f07cdb9b", "completed": 1000, "total": 1929903264, "attempt": 1}
#       completed, total: bytes of the layers that the server has spoken of so far
#
# A pull that fails in the middle does so as a line {"error": "..."} in an answer with status 200, and only {"status":
# "success"} is success: https://github.com/ollama/ollama/blob/main/docs/api/errors.mdx
# The server keeps what it has of each blob, and a new request goes on from there. It sends a line every few milliseconds even
# when no byte comes, so the bytes are watched, not the lines: ollama/ollama, server/download.go
# The request is the pull: when it is closed the server stops. This script is what holds it open.
# https://learn.microsoft.com/dotnet/api/system.net.httpwebrequest
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$model = [string] $wanted.model
$authority = [string] $wanted.address
if ($authority.Contains(':')) { $authority = "[$authority]" }
$base = "http://${authority}:$([int] $wanted.port)/api"
$state = @{ layers = @{}; best = [long] 0; attempt = 0; error = ''; done = $false }

function Get-Sum([string] $field) {
    $sum = [long] 0
    foreach ($layer in $state.layers.Values) { $sum += [long] $layer[$field] }
    return $sum
}

function Read-Error($problem) {
    while ($null -ne $problem.InnerException -and $problem -isnot [System.Net.WebException]) { $problem = $problem.InnerException }
    $text = [string] $problem.Message
    if ($problem -is [System.Net.WebException] -and $null -ne $problem.Response) {
        $stream = $problem.Response.GetResponseStream()
        $body = [System.IO.StreamReader]::new($stream, [System.Text.Encoding]::UTF8).ReadToEnd().Trim()
        $said = ''
        # A proxy in between answers with a page.
        try { $said = [string] (ConvertFrom-Json -InputObject $body).error } catch { $said = '' }
        if ($said -ne '') { return $said }
        $text = "it answered with status $([int] $problem.Response.StatusCode)"
        if ($body.Length -gt 300) { $body = $body.Substring(0, 300) }
        if ($body -ne '') { $text = "${text}: $body" }
    }
    return $text
}

function Invoke-Attempt {
    $request = [System.Net.HttpWebRequest]::CreateHttp("$base/pull")
    $request.Proxy = $null
    $request.Timeout = 1000 * [int] $wanted.stall_seconds
    $request.ReadWriteTimeout = 1000 * [int] $wanted.stall_seconds
    $request.Method = 'POST'
    $request.ContentType = 'application/json'
    $text = ConvertTo-Json -InputObject ([ordered] @{ model = $model; stream = $true }) -Compress -Depth 2
    $bytes = [System.Text.Encoding]::UTF8.GetBytes($text)
    $stream = $request.GetRequestStream()
    $stream.Write($bytes, 0, $bytes.Length)
    $stream.Close()
    $response = $request.GetResponse()
    try {
        $reader = [System.IO.StreamReader]::new($response.GetResponseStream(), [System.Text.Encoding]::UTF8)
        $quiet = [System.Diagnostics.Stopwatch]::StartNew()
        $seen = [long] -1
        while ($null -ne ($line = $reader.ReadLine())) {
            if ($line.Trim() -eq '') { continue }
            $said = ConvertFrom-Json -InputObject $line
            if ($said.error) {
                $state.error = [string] $said.error
                return
            }
            if ($said.status -ceq 'success') {
                $state.done = $true
                return
            }
            if ($said.digest -and $said.total) {
                $completed = [long] 0
                if ($null -ne $said.completed) { $completed = [long] $said.completed }
                $state.layers[[string] $said.digest] = @{ completed = $completed; total = [long] $said.total }
            }
            $sum = Get-Sum 'completed'
            $progress = [ordered] @{
                model = $model
                status = [string] $said.status
                completed = $sum
                total = Get-Sum 'total'
                attempt = $state.attempt
            }
            # The runner around this script has it.
            Save-Progress $progress # ps51: allow command
            if ($sum -ne $seen) {
                $seen = $sum
                $quiet.Restart()
            }
            # The hash of a large layer takes minutes, and no byte moves meanwhile.
            $waits = ([string] $said.status).StartsWith('pulling ')
            if ($waits -and $quiet.Elapsed.TotalSeconds -gt [int] $wanted.stall_seconds) {
                $state.error = "no byte came for $($wanted.stall_seconds) seconds"
                return
            }
        }
        $state.error = 'the server closed the connection before the end'
    }
    finally {
        # Abort, because Close would read the rest of an answer that may never end.
        $request.Abort()
        $response.Close()
    }
}

$fruitless = 0
while (-not $state.done) {
    $state.attempt++
    $state.error = ''
    try { Invoke-Attempt } catch { $state.error = Read-Error $_.Exception }
    if ($state.done) { break }
    $sum = Get-Sum 'completed'
    $fruitless++
    if ($sum -gt $state.best) {
        $state.best = $sum
        $fruitless = 0
    }
    # The registry has no such model: asking again does not help. This text is Ollama's own and in no other language.
    $final = $state.error.Contains('file does not exist')
    if ($final -or $fruitless -ge [int] $wanted.fruitless) {
        $mend = 'What has come is kept: mend that, and run this again.'
        if ($final) { $mend = 'Is its name in ollama_models right?' }
        throw "Ollama did not get the model $model, in $($state.attempt) attempts: $($state.error). $mend"
    }
    Start-Sleep -Seconds ([int] $wanted.pause_seconds * ($fruitless + 1))
}

$request = [System.Net.HttpWebRequest]::CreateHttp("$base/tags")
$request.Proxy = $null
$response = $request.GetResponse()
try { $tags = [System.IO.StreamReader]::new($response.GetResponseStream(), [System.Text.Encoding]::UTF8).ReadToEnd() }
finally { $response.Close() }
$found = @((ConvertFrom-Json -InputObject $tags).models | Where-Object { $null -ne $_ -and $_.name -eq $model })
if ($found.Count -eq 0) { throw "Ollama pulled $model, and does not list it." }

$answer = [ordered] @{
    model = [string] $found[0].name
    digest = [string] $found[0].digest
    size = [long] $found[0].size
    attempts = [int] $state.attempt
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2
