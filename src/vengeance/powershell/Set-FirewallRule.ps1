# Makes an inbound rule of the Windows firewall what it should be: one port, from where, for which program.
#
# in:   {"rule": "vengeance-ollama", "title": "vengeance-ollama", "action": "allow", "protocol": "tcp", "port": 11434,
#        "remote_addresses": ["100.64.0.0/10", "LocalSubnet"], "program": null, "profiles": ["private", "public"]}
#       rule: the rule's identity, which the commands call Name; remote_addresses: [] is everybody; program: null is every one;
#       profiles: [] is every one
# out:  {"changed": true, "before": null, "after": "v2.33|Action=Allow|Active=TRUE|Dir=In|...", "reboot_required": false}
#       before, after: the rule as the registry has it
#
# What is not named in the input is set to what does not narrow the rule. A rule that is there is changed in place, so that it
# lets in whom it should all the while.
# https://learn.microsoft.com/powershell/module/netsecurity/new-netfirewallrule
# https://learn.microsoft.com/powershell/module/netsecurity/set-netfirewallrule
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$name = [string] $wanted.rule
if ($name -notmatch '\A[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}\z') { throw "'$name' cannot be the name of a firewall rule." }

function Get-Rule {
    $machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
    $key = $machine.OpenSubKey('SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules')
    if ($null -eq $key) { return $null }
    return $key.GetValue($name, $null)
}

$settings = @{
    Name = $name
    PolicyStore = 'PersistentStore'
    Direction = 'Inbound'
    Enabled = 'True'
    Action = [string] $wanted.action
    Protocol = ([string] $wanted.protocol).ToUpperInvariant()
    LocalPort = [string] [int] $wanted.port
    RemotePort = 'Any'
    LocalAddress = 'Any'
    RemoteAddress = 'Any'
    Program = 'Any'
    Service = 'Any'
    InterfaceType = 'Any'
    EdgeTraversalPolicy = 'Block'
    Profile = 'Any'
}
$from = @($wanted.remote_addresses | ForEach-Object { [string] $_ })
if ($from.Count -gt 0) { $settings['RemoteAddress'] = $from }
$places = @($wanted.profiles | ForEach-Object { [string] $_ })
if ($places.Count -gt 0) { $settings['Profile'] = $places }
if ($wanted.program) { $settings['Program'] = [string] $wanted.program }

$before = Get-Rule
if ($null -eq $before) {
    $settings['DisplayName'] = [string] $wanted.title
    [void] (New-NetFirewallRule @settings)
}
else {
    $settings['NewDisplayName'] = [string] $wanted.title
    Set-NetFirewallRule @settings
}
$after = Get-Rule

$answer = [ordered] @{
    changed = -not [string]::Equals([string] $before, [string] $after, [StringComparison]::Ordinal)
    before = $before
    after = $after
    reboot_required = $false
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2
