# Makes Windows forward a port of one of its IPv4 addresses, or no longer.
#
# in:   {"listen_address": "100.98.226.75", "listen_port": 8080, "connect_address": "127.0.0.1", "connect_port": 8080}
#       connect_address: null ends it
# out:  {"changed": true, "before": null, "after": "127.0.0.1/8080", "reboot_required": false}
#
# It is written where `netsh interface portproxy add v4tov4` writes it, and the service IP Helper, which forwards, is told to
# read it again: also when nothing is changed, as an address that was not there at boot is looked for only then.
# https://learn.microsoft.com/windows-server/networking/technologies/netsh/netsh-interface-portproxy
# https://learn.microsoft.com/windows/win32/services/service-control-requests (SERVICE_CONTROL_PARAMCHANGE)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$address = [System.Net.IPAddress]::Parse([string] $wanted.listen_address).ToString()
$name = "$address/$([int] $wanted.listen_port)"
$value = $null
if ($null -ne $wanted.connect_address) {
    $target = [System.Net.IPAddress]::Parse([string] $wanted.connect_address).ToString()
    $value = "$target/$([int] $wanted.connect_port)"
}

$machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
$key = $machine.CreateSubKey('SYSTEM\CurrentControlSet\Services\PortProxy\v4tov4\tcp')
$before = $key.GetValue($name, $null)
$changed = -not [string]::Equals([string] $before, [string] $value, [StringComparison]::Ordinal)
if ($changed) {
    if ($null -eq $value) { $key.DeleteValue($name, $false) }
    else { $key.SetValue($name, $value, 'String') }
}
$after = $key.GetValue($name, $null)
$key.Dispose()

$service = Get-Service -Name 'iphlpsvc'
if ($service.Status.ToString() -ne 'Running') {
    Set-Service -Name 'iphlpsvc' -StartupType 'Automatic'
    Start-Service -Name 'iphlpsvc'
}
else {
    [void] (& "$env:SystemRoot\System32\sc.exe" 'control' 'iphlpsvc' 'paramchange')
    if ($LASTEXITCODE -ne 0) { throw "IP Helper was not told: sc.exe control ended with $LASTEXITCODE." }
}

$answer = [ordered] @{ changed = $changed; before = $before; after = $after; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 2
