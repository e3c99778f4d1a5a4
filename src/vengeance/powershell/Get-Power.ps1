# Reads whether Windows goes to sleep by itself, hibernates, and starts fast. Changes nothing.
#
# in:   {}
# out:  {"sleep_ac_seconds": 1800, "sleep_dc_seconds": 900, "hibernate_ac_seconds": 10800, "hibernate_dc_seconds": 10800,
#        "hibernate": true, "fast_startup": true}
#       seconds without use after which it sleeps or hibernates, plugged in (ac) and on battery (dc); 0 is never, null is
#       where the plan in force says nothing
#
# powercfg prints for people, in their language, so the registry is read: the plan in force, what was set in it, and else
# what it came with. STANDBYIDLE and HIBERNATEIDLE are the two settings of SUB_SLEEP:
# https://learn.microsoft.com/windows-hardware/customize/power-settings/sleep-settings
# Fast Startup is a hibernation of the system's part, so it needs hibernation:
# https://learn.microsoft.com/windows-hardware/drivers/kernel/distinguishing-fast-startup-from-wake-from-hibernation
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
$power = 'SYSTEM\CurrentControlSet\Control\Power'
$group = '238c9fa8-0aad-41ed-83f4-97be242c8f20'
$sleep = '29f6c1db-86da-48c5-9fdb-f2b67b1f44da'
$hibernate = '9d7815a6-7ee4-497e-8888-515a05f02364'

function Get-Number([string] $path, [string] $name) {
    $key = $machine.OpenSubKey($path)
    if ($null -eq $key) { return $null }
    $found = $key.GetValue($name, $null)
    if ($null -eq $found) { return $null }
    # A DWORD is read as a signed number.
    return [long] $found -band [long] [uint32]::MaxValue
}

$schemes = $machine.OpenSubKey("$power\User\PowerSchemes")
if ($null -eq $schemes) { throw "HKLM\$power\User\PowerSchemes cannot be opened." }
$plan = [string] $schemes.GetValue('ActivePowerScheme', '')

function Get-Seconds([string] $setting, [string] $name) {
    $set = Get-Number "$power\User\PowerSchemes\$plan\$group\$setting" $name
    if ($null -ne $set) { return $set }
    return Get-Number "$power\PowerSettings\$group\$setting\DefaultPowerSchemeValues\$plan" $name
}

$enabled = Get-Number $power 'HibernateEnabled'
if ($null -eq $enabled) { $enabled = Get-Number $power 'HibernateEnabledDefault' }
$fast = Get-Number 'SYSTEM\CurrentControlSet\Control\Session Manager\Power' 'HiberbootEnabled'

$answer = [ordered] @{
    sleep_ac_seconds = Get-Seconds $sleep 'ACSettingIndex'
    sleep_dc_seconds = Get-Seconds $sleep 'DCSettingIndex'
    hibernate_ac_seconds = Get-Seconds $hibernate 'ACSettingIndex'
    hibernate_dc_seconds = Get-Seconds $hibernate 'DCSettingIndex'
    hibernate = $null -ne $enabled -and $enabled -ne 0
    fast_startup = $null -ne $fast -and $fast -ne 0
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2
