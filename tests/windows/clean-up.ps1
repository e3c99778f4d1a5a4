# Takes back what prepare.ps1 did: WinRM as bootstrap\disable-winrm.ps1 leaves it, and no account vengeance-tests.
#
# How: in "Windows PowerShell" as administrator, in the project's folder: .\tests\windows\clean-up.ps1
# It may be run again at any time. Of the account its folder goes too, and with it what the tests left there.
# https://learn.microsoft.com/previous-versions/windows/desktop/userprofileprov/win32-userprofile
& {
    $ErrorActionPreference = 'Stop'
    $name = 'vengeance-tests'
    $project = Split-Path -Parent (Split-Path -Parent $PSScriptRoot)

    $accounts = @(Get-LocalUser | Where-Object { $_.Name -eq $name })
    if ($accounts.Count -eq 0) {
        Write-Host "There is no account ${name}: nothing of prepare.ps1 is here."
        return
    }
    & (Join-Path -Path $project -ChildPath 'bootstrap\disable-winrm.ps1')
    $sid = $accounts[0].SID.Value
    Remove-LocalUser -Name $name
    Write-Host "The account $name is gone."
    $profiles = @(Get-CimInstance -ClassName 'Win32_UserProfile' | Where-Object { $_.SID -eq $sid })
    foreach ($each in $profiles) {
        try {
            Remove-CimInstance -InputObject $each
            Write-Host "Its folder $($each.LocalPath) is gone."
        }
        catch { Write-Host "Its folder $($each.LocalPath) is in use, and stays until you remove it: $($_.Exception.Message)" }
    }
}
