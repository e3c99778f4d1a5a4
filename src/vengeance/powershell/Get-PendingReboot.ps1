# Reads whether Windows waits for a restart, and for what. Changes nothing.
#
# in:   {}
# out:  {"pending": true, "reasons": ["component_based_servicing", "windows_update", "installer", "file_rename",
#        "computer_name"]}
#
# component_based_servicing  a feature or an update is half installed
# windows_update             Windows Update asks for it
# installer                  an installer of ours ended with 1641 or 3010; see work/Invoke-Installer.ps1
# file_rename                files that are in use are to be moved or deleted at the start; browsers and others that update
#                            themselves leave this too, so alone it is a weak reason
# computer_name              a new name waits
#
# The four signs are those of ansible.windows (setup) and of the DSC resource PendingReboot:
# https://learn.microsoft.com/powershell/module/computermanagementdsc/pendingreboot
# https://learn.microsoft.com/windows/win32/api/winbase/nf-winbase-movefileexw (PendingFileRenameOperations)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')

function Test-Key([string] $path) {
    return $null -ne $machine.OpenSubKey($path)
}

function Get-Value([string] $path, [string] $name) {
    $key = $machine.OpenSubKey($path)
    if ($null -eq $key) { return $null }
    return $key.GetValue($name, $null)
}

$reasons = @()
if (Test-Key 'SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending') {
    $reasons += 'component_based_servicing'
}
if (Test-Key 'SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired') {
    $reasons += 'windows_update'
}
if (Test-Key 'SOFTWARE\vengeance\RebootRequired') { $reasons += 'installer' }
$renames = @(Get-Value 'SYSTEM\CurrentControlSet\Control\Session Manager' 'PendingFileRenameOperations')
if (@($renames | Where-Object { $_ }).Count -gt 0) { $reasons += 'file_rename' }
$names = 'SYSTEM\CurrentControlSet\Control\ComputerName'
if ((Get-Value "$names\ActiveComputerName" 'ComputerName') -ne (Get-Value "$names\ComputerName" 'ComputerName')) {
    $reasons += 'computer_name'
}

$answer = [ordered] @{ pending = $reasons.Count -gt 0; reasons = $reasons }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
