# Reads the limits that WinRM sets to its clients. Changes nothing.
#
# in:   {}
# out:  {"max_envelope_kb": 500, "max_timeout_ms": 60000, "max_shells_per_user": 30, "max_processes_per_shell": 25,
#        "max_memory_per_shell_mb": 1024, "idle_timeout_ms": 7200000}
#
# https://learn.microsoft.com/powershell/module/microsoft.wsman.management/about/about_wsman_provider
# https://learn.microsoft.com/windows/win32/winrm/quotas
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

Import-Module -Name 'Microsoft.WSMan.Management'

# The provider hands every value out as text.
function Get-Quota([string] $name) {
    return [long] (Get-Item -LiteralPath "WSMan:\localhost\$name").Value
}

$answer = [ordered] @{
    max_envelope_kb = Get-Quota 'MaxEnvelopeSizekb'
    max_timeout_ms = Get-Quota 'MaxTimeoutms'
    max_shells_per_user = Get-Quota 'Shell\MaxShellsPerUser'
    max_processes_per_shell = Get-Quota 'Shell\MaxProcessesPerShell'
    max_memory_per_shell_mb = Get-Quota 'Shell\MaxMemoryPerShellMB'
    idle_timeout_ms = Get-Quota 'Shell\IdleTimeout'
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2
