# Reads which Ollama is installed for the account that this script runs as: by its installer, and from its archive.
# Changes nothing.
#
# in:   {"folder": "C:\\Program Files\\Ollama"}          where the archive would lie; null: only the installer is asked for
# out:  {"setup": {"version": "0.34.1", "folder": "C:\\Users\\Steam\\AppData\\Local\\Programs\\Ollama", "complete": true},
#        "archive": null}
#
# complete: ollama.exe is in the folder. The archive names no version of its own that can be read without running it, so
# Expand-OllamaArchive leaves one beside it in vengeance-version.txt.
# The installer is Inno Setup's, per user (PrivilegesRequired=lowest), with this AppId: ollama/ollama, app/ollama.iss
# Inno Setup writes DisplayVersion and InstallLocation: https://jrsoftware.org/ishelp/topic_setup_appid.htm
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

function Get-Package([string] $version, [string] $folder) {
    $server = [System.IO.Path]::Combine($folder, 'ollama.exe')
    return [ordered] @{ version = $version; folder = $folder; complete = [System.IO.File]::Exists($server) }
}

$wanted = ConvertFrom-Json -InputObject $InputJson
$answer = [ordered] @{ setup = $null; archive = $null }

$user = [Microsoft.Win32.RegistryKey]::OpenBaseKey('CurrentUser', 'Registry64')
$products = 'SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall'
$product = $user.OpenSubKey("$products\{44E83376-CE68-45EB-8FC1-393500EB558C}_is1")
if ($null -ne $product) {
    $folder = ([string] $product.GetValue('InstallLocation', '')).TrimEnd('\')
    $version = [string] $product.GetValue('DisplayVersion', '')
    if ($folder -ne '') { $answer.setup = Get-Package $version $folder }
}

if ($null -ne $wanted.folder) {
    $folder = ([string] $wanted.folder).TrimEnd('\')
    $mark = [System.IO.Path]::Combine($folder, 'vengeance-version.txt')
    if ([System.IO.File]::Exists($mark)) {
        $answer.archive = Get-Package ([System.IO.File]::ReadAllText($mark).Trim()) $folder
    }
}
ConvertTo-Json -InputObject $answer -Compress -Depth 3
