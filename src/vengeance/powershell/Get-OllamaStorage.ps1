# Reads how much room there is for models, and how much of it unfinished downloads take already. Changes nothing.
#
# in:   {"folder": null}          the server's OLLAMA_MODELS; null: .ollama\models in the profile of this account
# out:  {"folder": "C:\\Users\\Steam\\.ollama\\models", "free_bytes": 812345678901, "partial_bytes": 0}
#
# free_bytes: what this account may use of the drive. partial_bytes: the size of blobs\*-partial, which a new pull goes on with.
# ollama/ollama, envconfig/config.go (Models) and server/download.go (blob-partial)
# https://learn.microsoft.com/dotnet/api/system.io.driveinfo.availablefreespace
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$folder = [string] $wanted.folder
if ($folder -eq '') { $folder = [System.IO.Path]::Combine([Environment]::GetFolderPath('UserProfile'), '.ollama\models') }
if (-not [System.IO.Path]::IsPathRooted($folder)) { throw "'$folder' is not a full path: begin with a drive, as in D:\Models." }

$partial = [long] 0
$blobs = [System.IO.Path]::Combine($folder, 'blobs')
if ([System.IO.Directory]::Exists($blobs)) {
    foreach ($file in [System.IO.DirectoryInfo]::new($blobs).GetFiles('*-partial')) { $partial += $file.Length }
}
$drive = [System.IO.DriveInfo]::new([System.IO.Path]::GetPathRoot($folder))

$answer = [ordered] @{ folder = $folder; free_bytes = [long] $drive.AvailableFreeSpace; partial_bytes = $partial }
ConvertTo-Json -InputObject $answer -Compress -Depth 2
