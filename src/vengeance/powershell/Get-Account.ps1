# Reads the account that this script runs as. Changes nothing.
#
# in:   {}
# out:  {"name": "VENGEANCE\\Steam", "sid": "S-1-5-21-...-1001", "elevated": true, "microsoft_account": false,
#        "profile": "C:\\Users\\Steam", "full_token_over_network": true}
#       microsoft_account: null where it is no local account
#       full_token_over_network: LocalAccountTokenFilterPolicy is 1: local administrators keep their rights over WinRM
#
# https://learn.microsoft.com/troubleshoot/windows-server/windows-security/user-account-control-and-remote-restriction
# https://learn.microsoft.com/powershell/module/microsoft.powershell.localaccounts/get-localuser (PrincipalSource)
# https://learn.microsoft.com/dotnet/api/system.security.principal.windowsprincipal.isinrole
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$identity = [System.Security.Principal.WindowsIdentity]::GetCurrent()
$principal = [System.Security.Principal.WindowsPrincipal]::new($identity)
$machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')

$microsoft = $null
foreach ($user in @(Get-LocalUser)) {
    if ($user.SID.Value -eq $identity.User.Value) { $microsoft = ([string] $user.PrincipalSource) -eq 'MicrosoftAccount' }
}
$policy = $machine.OpenSubKey('SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System')
$full = $false
if ($null -ne $policy) { $full = [int] $policy.GetValue('LocalAccountTokenFilterPolicy', 0) -eq 1 }
$list = $machine.OpenSubKey("SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList\$($identity.User.Value)")
$folder = [string] $env:USERPROFILE
if ($null -ne $list) { $folder = [string] $list.GetValue('ProfileImagePath', $folder) }

$answer = [ordered] @{
    name = [string] $identity.Name
    sid = [string] $identity.User.Value
    elevated = $principal.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)
    microsoft_account = $microsoft
    profile = $folder
    full_token_over_network = $full
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2
