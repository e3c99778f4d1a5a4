# Sets whether Windows goes to sleep by itself, hibernates, and starts fast. What is null stays as it is.
#
# in:   {"sleep_ac_minutes": 0, "sleep_dc_minutes": 0, "hibernate_ac_minutes": null, "hibernate_dc_minutes": null,
#        "hibernate": false, "fast_startup": false}     0 minutes: never; ac: plugged in, dc: on battery
# out:  {"changed": true, "reboot_required": false,
#        "before": {"sleep_ac_seconds": 1800, "sleep_dc_seconds": 900, "hibernate_ac_seconds": 10800,
#                   "hibernate_dc_seconds": 10800, "hibernate": true, "fast_startup": true},
#        "after": {"sleep_ac_seconds": 0, ..., "hibernate": false, "fast_startup": false}}
#
# The times count in the plan in force, at once. powercfg writes them, as the kernel has to be told too; the monitor may
# still go dark. Without hibernation its times mean nothing and are left alone. before and after are read as Get-Power does.
# https://learn.microsoft.com/windows-hardware/design/device-experiences/powercfg-command-line-options
# https://learn.microsoft.com/windows-hardware/drivers/kernel/distinguishing-fast-startup-from-wake-from-hibernation
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
$power = 'SYSTEM\CurrentControlSet\Control\Power'
$boot = 'SYSTEM\CurrentControlSet\Control\Session Manager\Power'
$group = '238c9fa8-0aad-41ed-83f4-97be242c8f20'
$sleep = '29f6c1db-86da-48c5-9fdb-f2b67b1f44da'
$hibernate = '9d7815a6-7ee4-497e-8888-515a05f02364'

function Get-Number([string] $path, [string] $name) {
    $key = $machine.OpenSubKey($path)
    if ($null -eq $key) { return $null }
    $found = $key.GetValue($name, $null)
    if ($null -eq $found) { return $null }
    return [long] $found -band [long] [uint32]::MaxValue
}

function Get-Seconds([string] $setting, [string] $name) {
    $plan = [string] $machine.OpenSubKey("$power\User\PowerSchemes").GetValue('ActivePowerScheme', '')
    $set = Get-Number "$power\User\PowerSchemes\$plan\$group\$setting" $name
    if ($null -ne $set) { return $set }
    return Get-Number "$power\PowerSettings\$group\$setting\DefaultPowerSchemeValues\$plan" $name
}

function Get-Flag([string] $path, [string] $name, [string] $default) {
    $found = Get-Number $path $name
    if ($null -eq $found -and $default -ne '') { $found = Get-Number $path $default }
    return $null -ne $found -and $found -ne 0
}

function Get-Power {
    return [ordered] @{
        sleep_ac_seconds = Get-Seconds $sleep 'ACSettingIndex'
        sleep_dc_seconds = Get-Seconds $sleep 'DCSettingIndex'
        hibernate_ac_seconds = Get-Seconds $hibernate 'ACSettingIndex'
        hibernate_dc_seconds = Get-Seconds $hibernate 'DCSettingIndex'
        hibernate = Get-Flag $power 'HibernateEnabled' 'HibernateEnabledDefault'
        fast_startup = Get-Flag $boot 'HiberbootEnabled' ''
    }
}

function Invoke-PowerCfg([string] $arguments) {
    $start = [System.Diagnostics.ProcessStartInfo]::new("$env:SystemRoot\System32\powercfg.exe", $arguments)
    $start.UseShellExecute = $false
    $start.CreateNoWindow = $true
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $process = [System.Diagnostics.Process]::Start($start)
    $output = $process.StandardOutput.ReadToEndAsync()
    $complaint = $process.StandardError.ReadToEndAsync()
    $process.WaitForExit()
    if ($process.ExitCode -ne 0) {
        throw "powercfg.exe $arguments ended with $($process.ExitCode): $($complaint.Result.Trim()) $($output.Result.Trim())"
    }
}

function Set-Time([string] $setting, $minutes, $seconds) {
    if ($null -eq $minutes) { return $false }
    if ($null -ne $seconds -and $seconds -eq [int] $minutes * 60) { return $false }
    Invoke-PowerCfg "/change $setting $([int] $minutes)"
    return $true
}

$before = Get-Power
$changed = $false
if ($null -ne $wanted.hibernate -and [bool] $wanted.hibernate -ne $before.hibernate) {
    if ($wanted.hibernate) { Invoke-PowerCfg '/hibernate on' } else { Invoke-PowerCfg '/hibernate off' }
    $changed = $true
}
$changed = (Set-Time 'standby-timeout-ac' $wanted.sleep_ac_minutes $before.sleep_ac_seconds) -or $changed
$changed = (Set-Time 'standby-timeout-dc' $wanted.sleep_dc_minutes $before.sleep_dc_seconds) -or $changed
if ($wanted.hibernate -or ($null -eq $wanted.hibernate -and $before.hibernate)) {
    $changed = (Set-Time 'hibernate-timeout-ac' $wanted.hibernate_ac_minutes $before.hibernate_ac_seconds) -or $changed
    $changed = (Set-Time 'hibernate-timeout-dc' $wanted.hibernate_dc_minutes $before.hibernate_dc_seconds) -or $changed
}
if ($null -ne $wanted.fast_startup -and [bool] $wanted.fast_startup -ne $before.fast_startup) {
    $key = $machine.CreateSubKey($boot)
    $key.SetValue('HiberbootEnabled', [int] [bool] $wanted.fast_startup, 'DWord')
    $key.Dispose()
    $changed = $true
}

$answer = [ordered] @{ changed = $changed; before = $before; after = Get-Power; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
