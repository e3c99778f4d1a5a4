# Sets how a service is started, and starts or stops it. What is null stays as it is.
#
# in:   {"service": "iphlpsvc", "start": "auto", "running": true}     start: auto, delayed, manual, disabled
# out:  {"changed": true, "before": {"state": "Stopped", "start": "manual"}, "after": {"state": "Running", "start": "auto"},
#        "reboot_required": false}
#
# Stopping stops those that depend on it. It waits 60 seconds at most for the service to be where it should be.
# https://learn.microsoft.com/windows/win32/cimwin32prov/win32-service
# https://learn.microsoft.com/powershell/module/microsoft.powershell.management/set-service
# Set-Service of 5.1 does not know the delayed start; sc.exe does, and tells the service manager:
# https://learn.microsoft.com/windows-server/administration/windows-commands/sc-config
# https://learn.microsoft.com/windows/win32/api/winsvc/ns-winsvc-service_delayed_auto_start_info
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$name = [string] $wanted.service
$types = @{ auto = 'auto'; delayed = 'delayed-auto'; manual = 'demand'; disabled = 'disabled' }

function Get-State {
    $found = @(Get-CimInstance -ClassName Win32_Service | Where-Object { $_.Name -eq $name })
    if ($found.Count -eq 0) { throw "There is no service '$name'." }
    $mode = ([string] $found[0].StartMode).ToLowerInvariant()
    if ($mode -eq 'auto' -and $found[0].DelayedAutoStart) { $mode = 'delayed' }
    return [ordered] @{ state = [string] $found[0].State; start = $mode }
}

$before = Get-State
$changed = $false
if ($null -ne $wanted.start -and $wanted.start -ne $before.start) {
    $type = $types[[string] $wanted.start]
    if ($null -eq $type) { throw "A service starts auto, delayed, manual or disabled, not '$($wanted.start)'." }
    # The blank between "start=" and its value is part of its grammar: they are two arguments.
    [void] (& "$env:SystemRoot\System32\sc.exe" 'config' $name 'start=' $type)
    if ($LASTEXITCODE -ne 0) { throw "sc.exe config $name start= $type ended with $LASTEXITCODE." }
    $changed = $true
}
if ($null -ne $wanted.running) {
    $service = Get-Service -Name $name
    $goal = 'Stopped'
    if ($wanted.running) { $goal = 'Running' }
    if ($before.state -ne $goal) {
        # Soon after a boot it may be on its way, and Start would refuse.
        if ($wanted.running) { if ($before.state -ne 'Start Pending') { $service.Start() } }
        else { Stop-Service -InputObject $service -Force -NoWait }
        $service.WaitForStatus($goal, [TimeSpan]::FromSeconds(60))
        $changed = $true
    }
}

$answer = [ordered] @{ changed = $changed; before = $before; after = Get-State; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
