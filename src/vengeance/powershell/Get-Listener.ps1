# Reads who listens on a TCP port. Changes nothing.
#
# in:   {"port": 11434}                       null for every port
# out:  {"listeners": [{"address": "0.0.0.0", "port": 11434, "pid": 7012, "process": "ollama.exe",
#        "path": "C:\\Users\\Steam\\AppData\\Local\\Programs\\Ollama\\ollama.exe"}]}
#       process, path: null where Windows does not tell
#
# https://learn.microsoft.com/windows/win32/fwp/wmi/nettcpipprov/msft-nettcpconnection (state 2: listen)
# https://learn.microsoft.com/windows/win32/cimwin32prov/win32-process
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$filter = 'State = 2'
if ($null -ne $wanted.port) { $filter = "State = 2 AND LocalPort = $([int] $wanted.port)" }

$processes = @{}
foreach ($process in @(Get-CimInstance -ClassName 'Win32_Process' -Property 'ProcessId', 'Name', 'ExecutablePath')) {
    $processes[[long] $process.ProcessId] = $process
}
$listeners = @()
foreach ($one in @(Get-CimInstance -Namespace 'root/StandardCimv2' -ClassName 'MSFT_NetTCPConnection' -Filter $filter)) {
    $owner = $processes[[long] $one.OwningProcess]
    $name = $null
    $path = $null
    if ($null -ne $owner) {
        $name = $owner.Name
        $path = $owner.ExecutablePath
    }
    $listeners += [ordered] @{
        address = [string] $one.LocalAddress
        port = [int] $one.LocalPort
        pid = [long] $one.OwningProcess
        process = $name
        path = $path
    }
}

$answer = [ordered] @{ listeners = $listeners }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
