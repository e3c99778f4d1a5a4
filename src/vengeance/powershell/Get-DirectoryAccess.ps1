# Reads who can write into a directory, and whether anything in it belongs to somebody else. Changes nothing.
#
# in:   {"path": "%ProgramData%\\vengeance"}
# out:  {"path": "C:\\ProgramData\\vengeance", "exists": true, "account": "VENGEANCE\\Steam", "closed": true, "foreign": []}
#       account: the one that asks; closed: SYSTEM, administrators and that account may do all, nobody else anything, and
#       nothing comes down from the folder above; foreign: the first five places, the directory's own first, that belong to
#       somebody else: {"path": "C:\\ProgramData\\vengeance\\x.ps1", "owner": "VENGEANCE\\Kid", "link": false}; link: it leads
#       elsewhere, whoever it belongs to
#
# Any user may make a folder in %ProgramData%, and who owns a file can always give himself rights to it:
# https://learn.microsoft.com/windows/win32/secauthz/owner-of-a-new-object
# https://learn.microsoft.com/dotnet/api/system.security.accesscontrol.objectsecurity.areaccessrulesprotected
# https://learn.microsoft.com/powershell/module/microsoft.powershell.security/get-acl
# https://learn.microsoft.com/windows/win32/secauthz/well-known-sids (S-1-5-18: SYSTEM, S-1-5-32-544: Administrators)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$path = [Environment]::ExpandEnvironmentVariables([string] $wanted.path)
if (-not [System.IO.Path]::IsPathRooted($path)) { throw "'$path' is not a full path: begin with a drive, as in C:\Users." }
if ([System.IO.File]::Exists($path)) { throw "'$path' is a file, and a directory is meant." }
$identity = [System.Security.Principal.WindowsIdentity]::GetCurrent()
$keepers = @('S-1-5-18', 'S-1-5-32-544', $identity.User.Value)
$sid = [System.Security.Principal.SecurityIdentifier]

function Test-Closed($acl) {
    if (-not $acl.AreAccessRulesProtected) { return $false }
    $let = @()
    foreach ($rule in @($acl.GetAccessRules($true, $true, $sid))) {
        if ($rule.AccessControlType.ToString() -ne 'Allow' -or $rule.FileSystemRights.ToString() -ne 'FullControl') { return $false }
        if ($rule.InheritanceFlags.ToString() -ne 'ContainerInherit, ObjectInherit') { return $false }
        $let += $rule.IdentityReference.Value
    }
    return ([string]::Join(' ', @($let | Sort-Object -Unique)) -eq [string]::Join(' ', @($keepers | Sort-Object -Unique)))
}

function Get-Name([string] $owner) {
    try { return [System.Security.Principal.SecurityIdentifier]::new($owner).Translate([System.Security.Principal.NTAccount]).Value }
    # Of an account that is gone only this is left.
    catch [System.Security.Principal.IdentityNotMappedException] { return $owner }
}

$exists = [System.IO.Directory]::Exists($path)
$closed = $false
$foreign = [System.Collections.Generic.List[object]]::new()
$places = [System.Collections.Generic.Queue[string]]::new()
if ($exists) {
    $closed = Test-Closed (Get-Acl -LiteralPath $path)
    $places.Enqueue($path)
}
while ($places.Count -gt 0 -and $foreign.Count -lt 5) {
    $place = $places.Dequeue()
    try {
        $attributes = [System.IO.File]::GetAttributes($place)
        $owner = (Get-Acl -LiteralPath $place).GetOwner($sid).Value
    }
    # Work that runs moves its files.
    catch [System.IO.FileNotFoundException], [System.IO.DirectoryNotFoundException] { continue }
    catch [System.Management.Automation.ItemNotFoundException] { continue }
    $link = ($attributes -band [System.IO.FileAttributes]::ReparsePoint) -eq [System.IO.FileAttributes]::ReparsePoint
    if ($link -or $keepers -notcontains $owner) {
        $foreign.Add([ordered] @{ path = $place; owner = Get-Name $owner; link = $link })
    }
    if (-not $link -and ($attributes -band [System.IO.FileAttributes]::Directory) -eq [System.IO.FileAttributes]::Directory) {
        foreach ($entry in [System.IO.Directory]::GetFileSystemEntries($place)) { $places.Enqueue($entry) }
    }
}
$answer = [ordered] @{
    path = $path
    exists = $exists
    account = [string] $identity.Name
    closed = $closed
    foreign = $foreign.ToArray()
}
ConvertTo-Json -InputObject $answer -Compress -Depth 4
