# Reads which processes of Ollama run, and what the servers wrote into their logs when they started. Changes nothing.
#
# in:   {"boot_log": "C:\\ProgramData\\vengeance\\ollama\\server.log"}
# out:  {"processes": [{"pid": 4242, "parent": 4200, "parent_name": "ollama app.exe", "name": "ollama.exe",
#          "image": "C:\\...\\ollama.exe", "command_line": "ollama.exe serve", "session": 1, "started": "2026-02-09T07:12:44Z"}],
#        "app_log": {"path": "C:\\...\\server.log", "config": "time=... msg=\"server config\" env=\"map[...]\"",
#          "listening": "time=... msg=\"Listening on 127.0.0.1:11434 (version 0.34.1)\"", "last": "..."},
#        "boot_log": null, "signed_in": true}
#
# app_log is the one that the tray app redirects its server to, boot_log the one of a server that a task starts. Both begin
# anew at each start of a server, and the environment that it works with is among their first lines: ollama/ollama,
# app/server/server.go and server/routes.go ("server config", "Listening on"). A log that is not there is null.
# parent_name: null when the parent has ended; a process that took over its number started later than the child.
# signed_in: the account that this script runs as has a desktop, in which Explorer runs.
# https://learn.microsoft.com/windows/win32/cimwin32prov/win32-process
# https://learn.microsoft.com/dotnet/api/system.io.fileshare (a log that its server still writes)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

function Read-Piece([System.IO.FileStream] $stream, [long] $from, [int] $count) {
    [void] $stream.Seek($from, [System.IO.SeekOrigin]::Begin)
    $buffer = [byte[]]::new($count)
    $filled = 0
    while ($filled -lt $count) {
        $read = $stream.Read($buffer, $filled, $count - $filled)
        if ($read -eq 0) { break }
        $filled += $read
    }
    return [System.Text.Encoding]::UTF8.GetString($buffer, 0, $filled)
}

function Read-Log([string] $path) {
    try {
        $stream = [System.IO.FileStream]::new($path, [System.IO.FileMode]::Open, [System.IO.FileAccess]::Read,
            [System.IO.FileShare] 'ReadWrite, Delete')
    }
    catch [System.IO.FileNotFoundException], [System.IO.DirectoryNotFoundException] { return $null }
    $log = [ordered] @{ path = $path; config = $null; listening = $null; last = $null }
    try {
        $head = Read-Piece $stream 0 ([int] [Math]::Min($stream.Length, 262144))
        foreach ($line in $head.Split("`n")) {
            if ($line.Contains('msg="server config"')) { $log.config = $line.Trim() }
            if ($line.Contains('msg="Listening on ')) { $log.listening = $line.Trim() }
        }
        $count = [int] [Math]::Min($stream.Length, 4096)
        $tail = Read-Piece $stream ($stream.Length - $count) $count
        foreach ($line in $tail.Split("`n")) {
            if ($line.Trim() -ne '') { $log.last = $line.Trim() }
        }
    }
    finally { $stream.Dispose() }
    return $log
}

$wanted = ConvertFrom-Json -InputObject $InputJson
$filter = "Name = 'ollama app.exe' OR Name = 'ollama.exe' OR Name = 'llama-server.exe'"
$processes = @()
foreach ($process in @(Get-CimInstance -ClassName Win32_Process -Filter $filter)) {
    $parents = @(Get-CimInstance -ClassName Win32_Process -Filter "ProcessId = $($process.ParentProcessId)")
    $parentName = $null
    if ($parents.Count -gt 0 -and $parents[0].CreationDate -le $process.CreationDate) { $parentName = [string] $parents[0].Name }
    $processes += [ordered] @{
        pid = [int] $process.ProcessId
        parent = [int] $process.ParentProcessId
        parent_name = $parentName
        name = [string] $process.Name
        image = [string] $process.ExecutablePath
        command_line = [string] $process.CommandLine
        session = [int] $process.SessionId
        started = $process.CreationDate.ToUniversalTime().ToString('s') + 'Z'
    }
}

$me = [System.Security.Principal.WindowsIdentity]::GetCurrent().User.Value
$signedIn = $false
foreach ($explorer in @(Get-CimInstance -ClassName Win32_Process -Filter "Name = 'explorer.exe'")) {
    # It may have ended since it was listed.
    $owner = Invoke-CimMethod -InputObject $explorer -MethodName 'GetOwnerSid' -ErrorAction 'SilentlyContinue'
    if ($null -ne $owner -and [string] $owner.Sid -eq $me) { $signedIn = $true }
}

$local = [Environment]::GetFolderPath('LocalApplicationData')
$answer = [ordered] @{
    processes = $processes
    app_log = Read-Log ([System.IO.Path]::Combine($local, 'Ollama\server.log'))
    boot_log = Read-Log ([string] $wanted.boot_log)
    signed_in = $signedIn
}
ConvertTo-Json -InputObject $answer -Compress -Depth 4
