# Puts the link of Ollama's tray app into the Startup folder of the account that this script runs as, or takes it away.
#
# in:   {"present": true, "folder": "C:\\Users\\Steam\\AppData\\Local\\Programs\\Ollama"}
# out:  {"changed": true, "before": false, "after": true, "reboot_required": false}
#
# The app itself copies lib\Ollama.lnk there when it runs for the first time, and never again, so that a link that a person
# took away stays away: ollama/ollama, app/cmd/app/app_windows.go
# An account that never had a desktop need not have that folder yet; its path would be empty if it were verified:
# https://learn.microsoft.com/dotnet/api/system.environment.specialfolderoption
# https://learn.microsoft.com/dotnet/api/system.environment.specialfolder (Startup)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$link = [System.IO.Path]::Combine([Environment]::GetFolderPath('Startup', 'DoNotVerify'), 'Ollama.lnk')
$before = [System.IO.File]::Exists($link)
if ($wanted.present -and -not $before) {
    $source = [System.IO.Path]::Combine([string] $wanted.folder, 'lib\Ollama.lnk')
    if (-not [System.IO.File]::Exists($source)) { throw "'$source' is not there: this Ollama has no tray app to start." }
    [void] [System.IO.Directory]::CreateDirectory([System.IO.Path]::GetDirectoryName($link))
    [System.IO.File]::Copy($source, $link)
}
if (-not $wanted.present -and $before) { [System.IO.File]::Delete($link) }

$after = [System.IO.File]::Exists($link)
$answer = [ordered] @{ changed = $before -ne $after; before = $before; after = $after; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 2
