# Lays the content of Ollama's archive into a folder, in place of an older one. The server must not run.
#
# in:   {"archive": "C:\\ProgramData\\vengeance\\downloads\\ollama-windows-amd64.zip", "folder": "C:\\Program Files\\Ollama",
#        "version": "0.34.1"}
# out:  {"changed": true, "before": "0.33.0", "after": "0.34.1", "reboot_required": false}          before: null: none was there
#
# The old folder goes first, as Ollama's documentation asks for (docs/windows.mdx), and only when it is one that was made here:
# vengeance-version.txt, which is written last, says so. A cut leaves the old folder or the new one, never a mixture.
# https://learn.microsoft.com/dotnet/api/system.io.compression.zipfile.extracttodirectory
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$folder = ([string] $wanted.folder).TrimEnd('\')
if (-not [System.IO.Path]::IsPathRooted($folder) -or $folder.Length -lt 4) { throw "'$folder' is not a full path of a folder." }
$mark = 'vengeance-version.txt'
$markPath = [System.IO.Path]::Combine($folder, $mark)

$before = $null
if ([System.IO.File]::Exists($markPath)) { $before = [System.IO.File]::ReadAllText($markPath).Trim() }
if ($null -eq $before -and [System.IO.Directory]::Exists($folder)) {
    if (@([System.IO.Directory]::GetFileSystemEntries($folder)).Count -gt 0) {
        throw "'$folder' holds files that were not put there by this script: empty it, or name another folder."
    }
}

if ($before -cne [string] $wanted.version) {
    Add-Type -AssemblyName 'System.IO.Compression.FileSystem'
    $fresh = "$folder.new"
    $old = "$folder.old"
    foreach ($rest in @($fresh, $old)) {
        if ([System.IO.Directory]::Exists($rest)) { [System.IO.Directory]::Delete($rest, $true) }
    }
    [System.IO.Compression.ZipFile]::ExtractToDirectory([string] $wanted.archive, $fresh)
    if (-not [System.IO.File]::Exists([System.IO.Path]::Combine($fresh, 'ollama.exe'))) {
        throw "'$($wanted.archive)' holds no ollama.exe."
    }
    [System.IO.File]::WriteAllText([System.IO.Path]::Combine($fresh, $mark), [string] $wanted.version)
    if ([System.IO.Directory]::Exists($folder)) { [System.IO.Directory]::Move($folder, $old) }
    [System.IO.Directory]::Move($fresh, $folder)
    if ([System.IO.Directory]::Exists($old)) { [System.IO.Directory]::Delete($old, $true) }
}

$after = [System.IO.File]::ReadAllText($markPath).Trim()
$answer = [ordered] @{ changed = $before -cne $after; before = $before; after = $after; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 2
