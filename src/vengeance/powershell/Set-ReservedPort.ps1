# Sets one TCP port aside for good, so that Hyper-V's NAT (WinNAT) cannot take it at boot, or gives it back.
#
# in:   {"port": 11434, "present": true, "stop_winnat": true}
#       stop_winnat: when NAT has the port now, stop NAT for the moment that it takes
# out:  {"changed": true, "before": false, "after": true, "winnat_stopped": false, "reboot_required": false}
#       before, after: whether the port was and is set aside
#
# A port that somebody holds, a range or a program, cannot be set aside: netsh fails with error 32. WinNAT lets
# its ranges go when it stops, and takes other ones when it starts. WSL's network goes through it, so a running distro may
# have none until it is started again: https://github.com/microsoft/WSL/issues/9418
# https://learn.microsoft.com/troubleshoot/windows-client/networking/udp-tcp-ports-reserved
# https://learn.microsoft.com/windows/win32/cimwin32prov/stopservice-method-in-class-win32-systemdriver
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$port = [int] $wanted.port
if ($port -lt 1 -or $port -gt 65535) { throw "$port is no TCP port: they go from 1 to 65535." }
$netsh = "$env:SystemRoot\System32\netsh.exe"

function Test-Reserved {
    $lines = @(& $netsh 'interface' 'ipv4' 'show' 'excludedportrange' 'protocol=tcp' 'store=persistent')
    if ($LASTEXITCODE -ne 0) { throw "netsh.exe could not list the reserved ports: it ended with $LASTEXITCODE." }
    foreach ($line in $lines) {
        if ([string] $line -match '\A\s*([0-9]+)\s+([0-9]+)\s*\*?\s*\z') {
            if ([int] $Matches[1] -le $port -and [int] $Matches[2] -ge $port) { return $true }
        }
    }
    return $false
}

function Set-Range([string] $verb) {
    $range = @('protocol=tcp', "startport=$port", 'numberofports=1', 'store=persistent')
    [void] (& $netsh 'interface' 'ipv4' $verb 'excludedportrange' $range)
    return $LASTEXITCODE
}

function Invoke-Nat([string] $method) {
    $driver = Get-CimInstance -ClassName 'Win32_SystemDriver' -Filter "Name = 'winnat'"
    if ($null -eq $driver) { throw 'This Windows has no WinNAT, so something else holds the port.' }
    $done = Invoke-CimMethod -InputObject $driver -MethodName $method
    return [int] $done.ReturnValue
}

$before = Test-Reserved
$stopped = $false
$code = 0
if ($wanted.present -and -not $before) {
    $code = Set-Range 'add'
    if ($code -ne 0 -and $wanted.stop_winnat) {
        $refused = Invoke-Nat 'StopService'
        # 5, 6: it does not run.
        if (@(0, 5, 6) -notcontains $refused) { throw "WinNAT could not be stopped: error $refused of Win32_SystemDriver." }
        $stopped = $refused -eq 0
        try { $code = Set-Range 'add' }
        finally { if ($stopped) { [void] (Invoke-Nat 'StartService') } }
    }
}
elseif ($before -and -not $wanted.present) { $code = Set-Range 'delete' }
$after = Test-Reserved
if ($after -ne [bool] $wanted.present) {
    throw "Port $port could not be changed: netsh.exe ended with $code. Windows or a program holds it."
}

$answer = [ordered] @{
    changed = $before -ne $after
    before = $before
    after = $after
    winnat_stopped = $stopped
    reboot_required = $false
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2
