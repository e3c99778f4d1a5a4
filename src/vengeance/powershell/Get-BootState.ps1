# Reads which boot of Windows this is, and whether its start is over. Changes nothing.
#
# in:   {}
# out:  {"boot_file_time": 134151091645000000, "uptime_seconds": 5021.337, "started": true}
#
# A clock that is put right moves the boot time; the uptime stays what it is. So both tell one boot from another.
# WinRM answers while Windows still installs updates at its start. The sign-in screen, which comes last, makes the key
# AutoLogonChecked; Restart-Windows removes it before the restart, so its presence after one says that the start is over.
# ansible.windows does so: https://github.com/ansible-collections/ansible.windows (plugins/plugin_utils/_reboot.py)
# https://learn.microsoft.com/windows/win32/cimwin32prov/win32-operatingsystem (LastBootUpTime)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$boot = (Get-CimInstance -ClassName Win32_OperatingSystem -Property 'LastBootUpTime').LastBootUpTime.ToUniversalTime()
$machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
$checked = $machine.OpenSubKey('SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon\AutoLogonChecked')

$answer = [ordered] @{
    boot_file_time = $boot.ToFileTimeUtc()
    uptime_seconds = ([DateTime]::UtcNow - $boot).TotalSeconds
    started = $null -ne $checked
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2
