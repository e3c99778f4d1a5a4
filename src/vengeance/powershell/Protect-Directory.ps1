# Makes a directory with those above it, and lets only SYSTEM, administrators and the account of this script into it.
#
# in:   {"path": "%ProgramData%\\vengeance"}
# out:  {"changed": true, "before": "O:BAG:...D:AI(...)", "after": "O:BAG:...D:P(...)", "reboot_required": false}
#       before, after: its owner and rights in SDDL; before: null where it was not there
#
# The rights come down to all in it, but for what has rights of its own. Inheritance from above ends, so that users cannot
# make files in it: what lies there runs with an administrator's rights.
# https://learn.microsoft.com/dotnet/api/system.security.accesscontrol.directorysecurity
# https://learn.microsoft.com/dotnet/api/system.security.accesscontrol.objectsecurity.setaccessruleprotection
# https://learn.microsoft.com/dotnet/api/system.io.directory.setaccesscontrol (.NET Framework)
# https://learn.microsoft.com/windows/win32/secauthz/well-known-sids (S-1-5-18: SYSTEM, S-1-5-32-544: Administrators)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$path = [Environment]::ExpandEnvironmentVariables([string] $wanted.path)
if (-not [System.IO.Path]::IsPathRooted($path)) { throw "'$path' is not a full path: begin with a drive, as in C:\Users." }
if ([System.IO.File]::Exists($path)) { throw "'$path' is a file, and a directory is meant." }

function Get-Sddl {
    if (-not [System.IO.Directory]::Exists($path)) { return $null }
    $parts = [System.Security.AccessControl.AccessControlSections] 'Owner, Group, Access'
    return (Get-Acl -LiteralPath $path).GetSecurityDescriptorSddlForm($parts)
}

$administrators = [System.Security.Principal.SecurityIdentifier]::new('S-1-5-32-544')
$keepers = @(
    [System.Security.Principal.SecurityIdentifier]::new('S-1-5-18')
    $administrators
    [System.Security.Principal.WindowsIdentity]::GetCurrent().User
)
$rights = [System.Security.AccessControl.DirectorySecurity]::new()
$rights.SetOwner($administrators)
$rights.SetAccessRuleProtection($true, $false)
foreach ($keeper in $keepers) {
    $rights.AddAccessRule([System.Security.AccessControl.FileSystemAccessRule]::new($keeper, 'FullControl',
        'ContainerInherit, ObjectInherit', 'None', 'Allow'))
}

$before = Get-Sddl
if ($null -eq $before) { [void] [System.IO.Directory]::CreateDirectory($path, $rights) }
else { [System.IO.Directory]::SetAccessControl($path, $rights) }
$after = Get-Sddl

$answer = [ordered] @{ changed = [string] $before -cne [string] $after; before = $before; after = $after; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 2
