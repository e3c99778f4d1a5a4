# Keeps what was there before the first change of a kind, and forgets what has been taken back.
#
# in:   {"keep": {"feature VirtualMachinePlatform": "\"Disabled\""}, "forget": ["power"]}
#       keep: name -> JSON text; what is kept already stays as it is, so that no later run overwrites it; forget: names
# out:  {"changed": true, "before": ["power"], "after": ["feature VirtualMachinePlatform"], "reboot_required": false}
#       before, after: names of all that was and is kept
#
# Only SYSTEM and administrators get at the key: what is kept may be a user's own, as his variables. Each value is written
# whole or not at all, and on the disk before this ends, as the change itself comes after it. Empty keys go.
# https://learn.microsoft.com/dotnet/api/microsoft.win32.registrykey.createsubkey (with RegistrySecurity: of a new key)
# https://learn.microsoft.com/windows/win32/secauthz/well-known-sids (S-1-5-18: SYSTEM, S-1-5-32-544: Administrators)
# https://learn.microsoft.com/dotnet/api/microsoft.win32.registrykey.setvalue
# https://learn.microsoft.com/dotnet/api/microsoft.win32.registrykey.flush
# https://learn.microsoft.com/dotnet/api/microsoft.win32.registrykey.deletesubkey (without subkeys only)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$parent = 'SOFTWARE\vengeance'
$path = "$parent\Before"
$base = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')

function Get-Kept {
    $key = $base.OpenSubKey($path)
    if ($null -ne $key) { $key.GetValueNames() }
}

$before = @(Get-Kept)
$changed = $false
$rights = [System.Security.AccessControl.RegistrySecurity]::new()
$rights.SetAccessRuleProtection($true, $false)
foreach ($keeper in @('S-1-5-18', 'S-1-5-32-544')) {
    $rights.AddAccessRule([System.Security.AccessControl.RegistryAccessRule]::new(
            [System.Security.Principal.SecurityIdentifier]::new($keeper), 'FullControl', 'ContainerInherit', 'None', 'Allow'))
}
$key = $base.CreateSubKey($path, [Microsoft.Win32.RegistryKeyPermissionCheck]::ReadWriteSubTree, $rights)
foreach ($entry in $wanted.keep.PSObject.Properties) {
    if ($null -eq $key.GetValue($entry.Name, $null)) {
        $key.SetValue($entry.Name, [string] $entry.Value, 'String')
        $changed = $true
    }
}
foreach ($name in @($wanted.forget)) {
    if ($null -ne $key.GetValue([string] $name, $null)) {
        $key.DeleteValue([string] $name, $false)
        $changed = $true
    }
}
$key.Flush()
$left = $key.ValueCount + $key.SubKeyCount
$key.Dispose()
if ($left -eq 0) {
    $base.DeleteSubKey($path, $false)
    $above = $base.OpenSubKey($parent)
    $left = $above.ValueCount + $above.SubKeyCount
    $above.Dispose()
    if ($left -eq 0) { $base.DeleteSubKey($parent, $false) }
}

$after = @(Get-Kept)
$answer = [ordered] @{ changed = $changed; before = $before; after = $after; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
