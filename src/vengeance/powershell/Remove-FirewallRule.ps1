# Removes rules of the Windows firewall by their identity.
#
# in:   {"rules": ["vengeance-ollama", "{7E9D5B52-9C0C-4A42-9C55-B9E7C1C5BBD5}"]}
# out:  {"changed": true, "before": ["vengeance-ollama"], "after": [], "reboot_required": false}
#       before, after: which of them were and are there
#
# The command takes * ? [ ] in a name for wildcards, and the rules that Windows' own question leaves are named after a path,
# which may hold [ and ]; so they are escaped.
# https://learn.microsoft.com/powershell/module/netsecurity/remove-netfirewallrule
# https://learn.microsoft.com/dotnet/api/system.management.automation.wildcardpattern.escape
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$names = @($wanted.rules | ForEach-Object { [string] $_ })

function Get-Present {
    $machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
    $key = $machine.OpenSubKey('SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\FirewallRules')
    if ($null -eq $key) { return }
    foreach ($name in $names) { if ($null -ne $key.GetValue($name, $null)) { $name } }
}

$before = @(Get-Present)
foreach ($name in $before) {
    Remove-NetFirewallRule -Name ([System.Management.Automation.WildcardPattern]::Escape($name)) -PolicyStore 'PersistentStore'
}
$after = @(Get-Present)

$answer = [ordered] @{
    changed = $before.Count -ne $after.Count
    before = $before
    after = $after
    reboot_required = $false
}
ConvertTo-Json -InputObject $answer -Compress -Depth 3
