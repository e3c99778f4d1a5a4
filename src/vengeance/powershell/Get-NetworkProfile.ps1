# Reads which networks the box is in, and which profile of the firewall counts in each. Changes nothing.
#
# in:   {}
# out:  {"networks": [{"interface": "Ethernet", "network": "Network 2", "profile": "public"}]}
#
# https://learn.microsoft.com/powershell/module/netconnection/get-netconnectionprofile
# https://learn.microsoft.com/previous-versions/windows/desktop/nlmcimprov/msft-netconnectionprofile
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$names = @('public', 'private', 'domain')
$networks = @()
foreach ($one in @(Get-CimInstance -Namespace 'root/StandardCimv2' -ClassName 'MSFT_NetConnectionProfile')) {
    $networks += [ordered] @{
        interface = [string] $one.InterfaceAlias
        network = [string] $one.Name
        profile = $names[[int] $one.NetworkCategory]
    }
}

$answer = [ordered] @{ networks = $networks }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
