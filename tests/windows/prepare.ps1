# Makes this Windows ready for the tests of this folder: WinRM over https, and an account of their own that signs in.
#
# How: in "Windows PowerShell" as administrator, in the project's folder:
#     Set-ExecutionPolicy -Scope Process Bypass
#     .\tests\windows\prepare.ps1
# It changes what bootstrap\enable-winrm.ps1 changes (see bootstrap\README.md), and makes the local administrator
# vengeance-tests with a password made at random, which is known in this window alone. clean-up.ps1 takes both back.
#
# On a runner of GitHub Actions each step is a process of its own: what the later ones need goes to the file GITHUB_ENV, and
# the password is masked in the log first.
# https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
& {
    $ErrorActionPreference = 'Stop'
    $name = 'vengeance-tests'
    $project = Split-Path -Parent (Split-Path -Parent $PSScriptRoot)

    $known = @(Get-LocalUser | Where-Object { $_.Name -eq $name })
    $door = @(Get-NetFirewallRule -Name 'vengeance-winrm-https' -ErrorAction 'SilentlyContinue')
    if ($known.Count -eq 0 -and $door.Count -gt 0) {
        throw 'Nothing was changed: this Windows was set up by enable-winrm.ps1 for its own user. docs/real-windows.md, "Your own box".'
    }

    # Base64 of 24 random bytes, and one of each kind for the password policy.
    $bytes = New-Object -TypeName 'byte[]' -ArgumentList 24
    $random = [Security.Cryptography.RandomNumberGenerator]::Create()
    $random.GetBytes($bytes)
    $text = [Convert]::ToBase64String($bytes) + 'aA1'
    $password = (New-Object -TypeName Net.NetworkCredential -ArgumentList '', $text).SecurePassword
    if ($known.Count -eq 0) {
        $null = New-LocalUser -Name $name -Password $password -PasswordNeverExpires -AccountNeverExpires
        Write-Host "The account $name is made."
    }
    else {
        Set-LocalUser -Name $name -Password $password
        Write-Host "The account $name has a new password."
    }

    # On loopback no firewall is asked: LocalSubnet is the narrowest that is surely taken.
    $script = Join-Path -Path $project -ChildPath 'bootstrap\enable-winrm.ps1'
    $said = @(& $script -Account $name -RemoteAddress 'LocalSubnet' -Unattended 6>&1 | ForEach-Object { [string] $_ })
    $said | ForEach-Object { Write-Host $_ }
    $pin = ''
    foreach ($line in $said) {
        if ($line -match '"winrm_certificate_sha256": "([0-9a-f]{64})"') { $pin = $Matches[1] }
    }
    if ($pin -eq '') { throw 'enable-winrm.ps1 did not come to its end: see above.' }

    $variables = [ordered] @{
        VENGEANCE_WINDOWS_USER = $name
        VENGEANCE_WINDOWS_PASSWORD = $text
        VENGEANCE_WINDOWS_SHA256 = $pin
    }
    if ($env:GITHUB_ACTIONS -eq 'true') { Write-Host "::add-mask::$text" }
    foreach ($variable in $variables.Keys) {
        [Environment]::SetEnvironmentVariable($variable, $variables[$variable], 'Process')
        if ($env:GITHUB_ACTIONS -eq 'true') {
            [IO.File]::AppendAllText($env:GITHUB_ENV, "$variable=$($variables[$variable])`n")
        }
    }
    Write-Host 'Ready. In this window: python -m pytest tests\windows'
}
