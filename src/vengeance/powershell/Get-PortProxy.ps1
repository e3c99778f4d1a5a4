# Reads which ports of IPv4 addresses Windows forwards to other ones, and whether its IP Helper does so. Changes nothing.
#
# in:   {}
# out:  {"proxies": [{"listen_address": "100.98.226.75", "listen_port": 8080, "connect_address": "127.0.0.1",
#        "connect_port": 8080, "listening": true, "address_there": true}], "service_running": true}
#       listening: whether somebody listens on that address and port now; address_there: whether an adapter has that address
#
# The entries are those of `netsh interface portproxy show v4tov4`: values "address/port" = "address/port".
# https://learn.microsoft.com/windows-server/networking/technologies/netsh/netsh-interface-portproxy
# https://learn.microsoft.com/windows/win32/fwp/wmi/nettcpipprov/msft-nettcpconnection (state 2: listen)
# https://learn.microsoft.com/windows/win32/fwp/wmi/nettcpipprov/msft-netipaddress
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
$key = $machine.OpenSubKey('SYSTEM\CurrentControlSet\Services\PortProxy\v4tov4\tcp')
$own = @(Get-CimInstance -Namespace 'root/StandardCimv2' -ClassName 'MSFT_NetIPAddress' | ForEach-Object { $_.IPAddress })
$proxies = @()
if ($null -ne $key) {
    foreach ($name in $key.GetValueNames()) {
        $from = $name.Split('/')
        $to = ([string] $key.GetValue($name)).Split('/')
        if ($from.Count -ne 2 -or $to.Count -ne 2) { continue }
        $filter = "State = 2 AND LocalPort = $([int] $from[1])"
        $found = @(Get-CimInstance -Namespace 'root/StandardCimv2' -ClassName 'MSFT_NetTCPConnection' -Filter $filter)
        $proxies += [ordered] @{
            listen_address = $from[0]
            listen_port = [int] $from[1]
            connect_address = $to[0]
            connect_port = [int] $to[1]
            listening = @($found | Where-Object { $_.LocalAddress -eq $from[0] }).Count -gt 0
            address_there = $own -contains $from[0]
        }
    }
}

$service = Get-Service -Name 'iphlpsvc'
$answer = [ordered] @{ proxies = $proxies; service_running = $service.Status.ToString() -eq 'Running' }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
