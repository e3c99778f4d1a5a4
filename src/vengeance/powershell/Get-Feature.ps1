# Reads whether an optional feature of Windows is on. Changes nothing.
#
# in:   {"feature": "VirtualMachinePlatform"}
# out:  {"state": "EnablePending"}
#       state: Enabled, Disabled, EnablePending (on after a restart), DisablePending, DisabledWithPayloadRemoved, and more;
#       null where Windows knows no feature of that name
#
# Needs an elevated account. EnablePending is a state of its own: what the feature brings is not there before the restart.
# https://learn.microsoft.com/powershell/module/dism/get-windowsoptionalfeature
# https://learn.microsoft.com/windows-hardware/manufacture/desktop/dism/dismpackagefeaturestate-enumeration
# An unknown name is CBS_E_UNKNOWN_UPDATE (0x800F080C):
# https://learn.microsoft.com/windows/win32/wua_sdk/wua-success-and-error-codes-
param([string] $InputJson)
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$wanted = ConvertFrom-Json -InputObject $InputJson
$unknown = -2146498548

$state = $null
try {
    $found = Get-WindowsOptionalFeature -Online -FeatureName ([string] $wanted.feature)
    if ($null -ne $found) { $state = $found.State.ToString() }
}
catch [System.Runtime.InteropServices.COMException] {
    if ($_.Exception.HResult -ne $unknown) { throw }
}

$answer = [ordered] @{ state = $state }
ConvertTo-Json -InputObject $answer -Compress -Depth 2
