# Switches an optional feature of Windows on, with those that it needs, or off. Never restarts Windows.
#
# in:   {"feature": "VirtualMachinePlatform", "present": true}
# out:  {"changed": true, "before": "Disabled", "after": "EnablePending", "reboot_required": true}
#
# Needs an elevated account. reboot_required is what DISM says; a feature that waits for a restart since before is not
# switched again.
# https://learn.microsoft.com/powershell/module/dism/enable-windowsoptionalfeature
# https://learn.microsoft.com/powershell/module/dism/disable-windowsoptionalfeature
param([string] $InputJson)
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$wanted = ConvertFrom-Json -InputObject $InputJson
$feature = [string] $wanted.feature

function Get-State {
    return (Get-WindowsOptionalFeature -Online -FeatureName $feature).State.ToString()
}

$before = Get-State
if ($wanted.present) { $right = @('Enabled', 'EnablePending') -contains $before }
else { $right = $before -like 'Disable*' }

$restart = $before -like '*Pending'
if (-not $right) {
    # The warning that a restart is suppressed would end up among the errors.
    if ($wanted.present) {
        $done = Enable-WindowsOptionalFeature -Online -FeatureName $feature -All -NoRestart -WarningAction 'SilentlyContinue'
    }
    else { $done = Disable-WindowsOptionalFeature -Online -FeatureName $feature -NoRestart -WarningAction 'SilentlyContinue' }
    $restart = [bool] $done.RestartNeeded
}

$after = Get-State
$answer = [ordered] @{ changed = -not $right; before = $before; after = $after; reboot_required = $restart }
ConvertTo-Json -InputObject $answer -Compress -Depth 2
