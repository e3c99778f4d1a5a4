# Reads the ranges of TCP ports that Windows keeps from programs. Changes nothing.
#
# in:   {}
# out:  {"active": [{"first": 11400, "last": 11499, "administered": false}], "persistent": [{"first": 11434, "last": 11434}]}
#       active: now; a program that asks for a port in one that is not administered gets WinSock's error 10013. Hyper-V's NAT
#       takes such ranges anew at each boot. administered: somebody has set it aside, so that NAT leaves it alone, and programs
#       can take its ports by number
#       persistent: set aside at each boot
#
# Windows has no other list of them than netsh's. Read are its digits and its asterisk, which are the same in every language.
# https://learn.microsoft.com/troubleshoot/windows-client/networking/udp-tcp-ports-reserved
# https://learn.microsoft.com/windows-server/administration/windows-commands/netsh-interface
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

function Get-Range([string] $store) {
    $netsh = "$env:SystemRoot\System32\netsh.exe"
    $lines = @(& $netsh 'interface' 'ipv4' 'show' 'excludedportrange' 'protocol=tcp' "store=$store")
    if ($LASTEXITCODE -ne 0) { throw "netsh.exe could not list the reserved ports: it ended with $LASTEXITCODE." }
    foreach ($line in $lines) {
        if ([string] $line -match '\A\s*([0-9]+)\s+([0-9]+)\s*(\*?)\s*\z') {
            [pscustomobject] @{ first = [int] $Matches[1]; last = [int] $Matches[2]; administered = $Matches[3] -eq '*' }
        }
    }
}

$answer = [ordered] @{
    active = @(Get-Range 'active')
    persistent = @(Get-Range 'persistent' | Select-Object -Property 'first', 'last')
}
ConvertTo-Json -InputObject $answer -Compress -Depth 3
