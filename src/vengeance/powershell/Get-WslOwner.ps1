# Reads which Windows accounts have which WSL distributions. Changes nothing.
#
# in:   {}
# out:  {"account": "BOX\\Steam", "owners": [{"sid": "S-1-5-21-...", "account": "BOX\\Steam", "distributions": ["Ubuntu-24.04"]}]}
#       account of an owner: null where its name cannot be found; accounts without a distribution are left out
#
# A distribution is registered in the registry of one user, and nobody else sees it:
# https://learn.microsoft.com/windows/wsl/troubleshooting
# Only the registries of accounts that are signed in somehow (a desktop, a task, this connection) are loaded under
# HKEY_USERS: https://learn.microsoft.com/windows/win32/sysinfo/predefined-keys
# https://learn.microsoft.com/dotnet/api/system.security.principal.securityidentifier.translate
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$answer = [ordered] @{ account = [System.Security.Principal.WindowsIdentity]::GetCurrent().Name; owners = @() }
$users = [Microsoft.Win32.RegistryKey]::OpenBaseKey('Users', 'Registry64')
foreach ($sid in $users.GetSubKeyNames()) {
    # Others are the machine's own accounts and the classes of a user (S-1-5-21-..._Classes).
    if ($sid -notmatch '^S-1-(5-21|12-1)-[0-9-]+$') { continue }
    $lxss = $users.OpenSubKey("$sid\SOFTWARE\Microsoft\Windows\CurrentVersion\Lxss")
    if ($null -eq $lxss) { continue }
    $names = @()
    foreach ($guid in $lxss.GetSubKeyNames()) {
        $name = [string] $lxss.OpenSubKey($guid).GetValue('DistributionName', '')
        if ($name -ne '') { $names += $name }
    }
    if ($names.Count -eq 0) { continue }
    $account = $null
    try { $account = [System.Security.Principal.SecurityIdentifier]::new($sid).Translate([System.Security.Principal.NTAccount]).Value }
    catch [System.Security.Principal.IdentityNotMappedException] { $account = $null } # the account is gone, its registry is not
    $answer.owners += [ordered] @{ sid = $sid; account = $account; distributions = @($names) }
}
ConvertTo-Json -InputObject $answer -Compress -Depth 4
