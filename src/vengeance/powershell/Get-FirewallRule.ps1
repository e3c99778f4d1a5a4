# Reads the inbound rules of the Windows firewall that can concern one TCP or UDP port, and whether it is on. Changes nothing.
#
# in:   {"port": 11434, "rule": "vengeance-ollama", "programs": ["ollama.exe"]}
#       rule: further rule to read, whatever it says; null for none. programs: file names of those that answer at the port
# out:  {"rules": [{"rule": "vengeance-ollama", "text": "v2.33|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=11434|...",
#        "policy": false}], "enabled": {"domain": true, "private": true, "public": true}}
#       rule: the rule's identity, which the commands call Name; policy: whether a group policy set it
#
# A rule is read where Windows keeps it, with its environment variables expanded: in the registry, in a grammar that is the
# same in every language. The commands would take a query for each filter of each of 500 rules. Left out are rules for other
# ports, rules that allow another program and no port, and what is switched off.
# https://learn.microsoft.com/openspecs/windows_protocols/ms-gpfas/2efe0b76-7b4a-41ff-9050-1023f8196d16
# https://learn.microsoft.com/powershell/module/netsecurity/get-netfirewallprofile
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$port = [int] $wanted.port
$programs = @($wanted.programs | Where-Object { $_ } | ForEach-Object { [string] $_ })
$machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
$local = 'SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy'

function Test-Concerned([string] $text) {
    if ($text.IndexOf('|Dir=In|') -lt 0 -or $text.IndexOf('|Active=TRUE|') -lt 0) { return $false }
    if ($text.IndexOf('|Action=Block|') -ge 0) { return $true }
    if ($text.IndexOf("|LPort=$port|") -ge 0 -or $text.IndexOf('|LPort2_10=') -ge 0) { return $true }
    if ($text.IndexOf('|LPort=') -ge 0) { return $false }
    if ($text.IndexOf('|App=') -lt 0) { return $true }
    foreach ($program in $programs) {
        if ($text.IndexOf("\$program|", [StringComparison]::OrdinalIgnoreCase) -ge 0) { return $true }
    }
    return $false
}

$rules = @()
foreach ($place in @("$local\FirewallRules", 'SOFTWARE\Policies\Microsoft\WindowsFirewall\FirewallRules')) {
    $key = $machine.OpenSubKey($place)
    if ($null -eq $key) { continue }
    foreach ($name in $key.GetValueNames()) {
        $text = [string] $key.GetValue($name)
        if ($name -eq [string] $wanted.rule -or (Test-Concerned $text)) {
            $rules += [ordered] @{
                rule = $name
                text = [Environment]::ExpandEnvironmentVariables($text)
                policy = $place.StartsWith('SOFTWARE')
            }
        }
    }
}

# The private profile is called StandardProfile there. Get-NetFirewallProfile takes group policies into account too.
$enabled = [ordered] @{}
foreach ($one in @(Get-NetFirewallProfile -PolicyStore 'ActiveStore')) {
    $enabled[([string] $one.Name).ToLowerInvariant()] = ([int] $one.Enabled) -eq 1
}

$answer = [ordered] @{ rules = $rules; enabled = $enabled }
ConvertTo-Json -InputObject $answer -Compress -Depth 4
