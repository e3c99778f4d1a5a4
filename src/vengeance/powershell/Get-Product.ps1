# Reads what Windows knows of an installed program: its entry among those that Settings shows as apps. Changes nothing.
#
# in:   {"product": "{497CB23D-8747-4047-A079-DD98E0EDFC18}"}       the name of its key: a product code, or what its setup chose
# out:  {"installed": true, "level": "machine", "name": "Windows Subsystem for Linux", "version": "2.7.11.0", "location": null}
#       level: machine or user (the account that this script runs as); all is null when it is not installed
#
# https://learn.microsoft.com/windows/win32/msi/uninstall-registry-key
# Programs of 32 bits have their entries in a view of their own: https://learn.microsoft.com/windows/win32/winprog64/accessing-an-alternate-registry-view
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$product = [string] $wanted.product
if ($product -eq '' -or $product.Contains('\')) { throw "'$product' is no name of a product's key." }

$answer = [ordered] @{ installed = $false; level = $null; name = $null; version = $null; location = $null }
foreach ($place in @(@('LocalMachine', 'Registry64', 'machine'), @('LocalMachine', 'Registry32', 'machine'), @('CurrentUser', 'Registry64', 'user'))) {
    $base = [Microsoft.Win32.RegistryKey]::OpenBaseKey($place[0], $place[1])
    $key = $base.OpenSubKey("SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\$product")
    if ($null -eq $key) { continue }
    $answer.installed = $true
    $answer.level = $place[2]
    foreach ($pair in @(@('name', 'DisplayName'), @('version', 'DisplayVersion'), @('location', 'InstallLocation'))) {
        $value = $key.GetValue($pair[1], $null)
        if ($null -ne $value -and [string] $value -ne '') { $answer[$pair[0]] = [string] $value }
    }
    break
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2
