# Reads a service: whether it runs, and how it is started. Changes nothing.
#
# in:   {"service": "iphlpsvc"}     the short name, not the one that is shown
# out:  {"service": {"name": "iphlpsvc", "display_name": "IP Helper", "state": "Running", "start": "auto", "pid": 3412,
#        "account": "LocalSystem", "command_line": "C:\\WINDOWS\\System32\\svchost.exe -k NetSvcs -p"}}
#       service: null where there is none of that name; pid: null while it does not run
#       state: Running, Stopped, Start Pending, Stop Pending, Paused, ...; start: boot, system, auto, delayed, manual, disabled
#
# WMI's words for both are the same in every language; only display_name is for people.
# https://learn.microsoft.com/windows/win32/cimwin32prov/win32-service
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
# All are read, as a name in a WQL filter would have to be quoted.
$found = @(Get-CimInstance -ClassName Win32_Service | Where-Object { $_.Name -eq [string] $wanted.service })

$service = $null
if ($found.Count -gt 0) {
    $one = $found[0]
    $mode = ([string] $one.StartMode).ToLowerInvariant()
    if ($mode -eq 'auto' -and $one.DelayedAutoStart) { $mode = 'delayed' }
    $number = $null
    if ($one.ProcessId) { $number = [long] $one.ProcessId }
    $service = [ordered] @{
        name = [string] $one.Name
        display_name = [string] $one.DisplayName
        state = [string] $one.State
        start = $mode
        pid = $number
        account = [string] $one.StartName
        command_line = [string] $one.PathName
    }
}

$answer = [ordered] @{ service = $service }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
