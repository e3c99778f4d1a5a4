# Takes a model out of memory, and waits until it is out.
#
# in:   {"address": "127.0.0.1", "port": 11434, "model": "qwen2.5:3b", "timeout": 60}          timeout: seconds
# out:  {"changed": true, "before": true, "after": false, "reboot_required": false}       before, after: whether it was, is loaded
#
# The server says "unload" before the memory is free, so /api/ps is asked until the model is gone:
# https://github.com/ollama/ollama/blob/main/docs/api.md (generate with keep_alive 0; list running models)
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

function Test-Loaded([string] $model) {
    $request = [System.Net.HttpWebRequest]::CreateHttp("$base/ps")
    $request.Proxy = $null
    $request.Timeout = 15000
    $answer = ConvertFrom-Json -InputObject (Read-Answer $request)
    return @($answer.models | Where-Object { $null -ne $_ -and $_.name -eq $model }).Count -gt 0
}

$model = [string] $wanted.model
$before = Test-Loaded $model
$after = $before
if ($before) {
    $request = [System.Net.HttpWebRequest]::CreateHttp("$base/generate")
    $request.Proxy = $null
    $request.Timeout = 60000
    $request.Method = 'POST'
    $request.ContentType = 'application/json'
    $text = ConvertTo-Json -InputObject ([ordered] @{ model = $model; keep_alive = 0; stream = $false }) -Compress -Depth 2
    $bytes = [System.Text.Encoding]::UTF8.GetBytes($text)
    $stream = $request.GetRequestStream()
    $stream.Write($bytes, 0, $bytes.Length)
    $stream.Close()
    [void] (Read-Answer $request)
    $clock = [System.Diagnostics.Stopwatch]::StartNew()
    while ($true) {
        $after = Test-Loaded $model
        if (-not $after -or $clock.Elapsed.TotalSeconds -ge [double] $wanted.timeout) { break }
        Start-Sleep -Milliseconds 500
    }
}

$answer = [ordered] @{ changed = $before -and -not $after; before = $before; after = $after; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 2
