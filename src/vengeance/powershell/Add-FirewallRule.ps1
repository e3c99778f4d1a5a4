# Puts an inbound rule of the Windows firewall back that was removed; one that is there under this name stays as it is.
#
# in:   {"rule": "TCP Query User{7E9D5B52-...}C:\\...\\ollama.exe", "title": "ollama.exe", "action": "block", "protocol": "tcp",
#        "port": null, "remote_addresses": [], "program": "C:\\...\\ollama.exe", "profiles": ["public"]}
#       rule: its identity, which the command calls Name; protocol: tcp, udp, null for every one; port: null for every one;
#       remote_addresses, profiles: [] is all of them; program: null is every one
# out:  {"changed": true, "before": null, "after": "v2.33|Action=Block|Active=TRUE|Dir=In|...", "reboot_required": false}
#       before, after: the rule as the registry has it
#
# https://learn.microsoft.com/powershell/module/netsecurity/new-netfirewallrule
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$name = [string] $wanted.rule

function Get-Rule {
    $machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
    $key = $machine.OpenSubKey('SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules')
    if ($null -eq $key) { return $null }
    return $key.GetValue($name, $null)
}

$before = Get-Rule
if ($null -eq $before) {
    $settings = @{
        Name = $name
        DisplayName = [string] $wanted.title
        PolicyStore = 'PersistentStore'
        Direction = 'Inbound'
        Enabled = 'True'
        Action = [string] $wanted.action
    }
    if ($wanted.protocol) { $settings['Protocol'] = ([string] $wanted.protocol).ToUpperInvariant() }
    if ($null -ne $wanted.port) { $settings['LocalPort'] = [string] [int] $wanted.port }
    $from = @($wanted.remote_addresses | ForEach-Object { [string] $_ })
    if ($from.Count -gt 0) { $settings['RemoteAddress'] = $from }
    $places = @($wanted.profiles | ForEach-Object { [string] $_ })
    if ($places.Count -gt 0) { $settings['Profile'] = $places }
    if ($wanted.program) { $settings['Program'] = [string] $wanted.program }
    [void] (New-NetFirewallRule @settings)
}
$after = Get-Rule

$answer = [ordered] @{ changed = $null -eq $before -and $null -ne $after; before = $before; after = $after; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 2
