# Reads how much room there is for models, and how much of it unfinished downloads take already. Changes nothing.
#
# in:   {"folder": null}          the server's OLLAMA_MODELS; null: .ollama\models in the profile of this account
# out:  {"folder": "C:\\Users\\Steam\\.ollama\\models", "free_bytes": 812345678901, "partial_bytes": 0}
#
# free_bytes: what this account may use of the drive. partial_bytes: what a new pull need not fetch again. The file of an
# unfinished blob has its full length from the start, but is sparse; what has come is told by the small files beside it,
# blobs\*-partial-N: ollama/ollama, server/download.go (Prepare, writePart), envconfig/config.go (Models)
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
    foreach ($file in [System.IO.DirectoryInfo]::new($blobs).GetFiles('*-partial-*')) {
        # A server that runs may be writing it just now.
        try { $part = ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($file.FullName)) } catch { continue }
        $partial += [long] $part.Completed
    }
}
$drive = [System.IO.DriveInfo]::new([System.IO.Path]::GetPathRoot($folder))

$answer = [ordered] @{ folder = $folder; free_bytes = [long] $drive.AvailableFreeSpace; partial_bytes = $partial }
ConvertTo-Json -InputObject $answer -Compress -Depth 2
