# Runs PSScriptAnalyzer over every script of this project; ends with 1 when it finds something, or is not there.
#
# How: pwsh scripts/analyze.ps1, on any system. Install-Module PSScriptAnalyzer -Scope CurrentUser gets it.
$ErrorActionPreference = 'Stop'
$project = Split-Path -Parent $PSScriptRoot

# 1.23 knows the rules that the settings name.
Import-Module -Name PSScriptAnalyzer -MinimumVersion 1.23.0
Write-Host "PSScriptAnalyzer $((Get-Module -Name PSScriptAnalyzer).Version)"
$settings = Join-Path -Path $PSScriptRoot -ChildPath 'PSScriptAnalyzerSettings.psd1'
$folders = 'src/vengeance/powershell', 'bootstrap', 'scripts', 'tests/windows'
$found = @(foreach ($folder in $folders) {
    # The module's own command, which Windows PowerShell alone does not have.
    Invoke-ScriptAnalyzer -Path (Join-Path -Path $project -ChildPath $folder) -Recurse -Settings $settings # ps51: allow command
})
foreach ($one in $found) {
    Write-Host "$($one.ScriptPath):$($one.Line): $($one.RuleName): $($one.Message)"
}
Write-Host "$($found.Count) findings"
if ($found.Count -gt 0) { exit 1 }
