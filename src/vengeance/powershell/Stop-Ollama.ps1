# Ends the processes of Ollama, in the order in which none of them is started again: the tray app, the server, what loads models.
#
# in:   {}
# out:  {"changed": true, "before": [{"pid": 4200, "name": "ollama app.exe"}, {"pid": 4242, "name": "ollama.exe"}], "after": [],
#        "reboot_required": false}
#
# The app starts its server anew one second after it ended, with the environment that the app itself was started with:
# ollama/ollama, app/server/server.go (restartDelay). llama-server.exe is a name that others use too, so only those in Ollama's
# own folder lib\ollama count. A task that keeps the server running has to be stopped before.
# https://learn.microsoft.com/windows/win32/cimwin32prov/win32-process
# https://learn.microsoft.com/powershell/module/microsoft.powershell.management/stop-process
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

function Get-Processes([string] $name) {
    $found = @()
    foreach ($process in @(Get-CimInstance -ClassName Win32_Process -Filter "Name = '$name'")) {
        $ours = $name -ne 'llama-server.exe' -or ([string] $process.ExecutablePath) -like '*\lib\ollama\llama-server.exe'
        if ($ours) { $found += [ordered] @{ pid = [int] $process.ProcessId; name = [string] $process.Name } }
    }
    return $found
}

$names = @('ollama app.exe', 'ollama.exe', 'llama-server.exe')
$before = @()
foreach ($name in $names) { $before += @(Get-Processes $name) }

$clock = [System.Diagnostics.Stopwatch]::StartNew()
foreach ($name in $names) {
    while ($true) {
        $left = @(Get-Processes $name)
        if ($left.Count -eq 0) { break }
        if ($clock.Elapsed.TotalSeconds -gt 30) { throw "$name (process $($left[0].pid)) does not end." }
        # One that ended in between is what is wanted.
        foreach ($process in $left) { Stop-Process -Id $process.pid -Force -ErrorAction 'SilentlyContinue' }
        Start-Sleep -Milliseconds 200
    }
}

$after = @()
foreach ($name in $names) { $after += @(Get-Processes $name) }
$answer = [ordered] @{ changed = $before.Count -gt 0; before = $before; after = $after; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
