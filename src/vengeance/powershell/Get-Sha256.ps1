# Reads the SHA-256 of a file. Changes nothing.
#
# in:   {"path": "C:\\Users\\Steam\\.wslconfig"}
# out:  {"sha256": "9f86d0818..."}          lower case; null: no such file
#
# A file that another program is writing can be read too, as a log can: FileShare ReadWrite and Delete.
# https://learn.microsoft.com/dotnet/api/system.io.fileshare
# This class uses the certified provider of Windows, which a machine with the FIPS policy asks for:
# https://learn.microsoft.com/dotnet/api/system.security.cryptography.sha256cryptoserviceprovider
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$path = [string] $wanted.path
if (-not [System.IO.Path]::IsPathRooted($path)) { throw "'$path' is not a full path: begin with a drive, as in C:\Users." }
if ([System.IO.Directory]::Exists($path)) { throw "'$path' is a directory, and a directory has no SHA-256." }

$answer = [ordered] @{ sha256 = $null }
try {
    $stream = [System.IO.FileStream]::new($path, [System.IO.FileMode]::Open, [System.IO.FileAccess]::Read,
        [System.IO.FileShare] 'ReadWrite, Delete')
}
catch [System.IO.FileNotFoundException], [System.IO.DirectoryNotFoundException] {
    ConvertTo-Json -InputObject $answer -Compress -Depth 2
    return
}
try {
    $sha256 = [System.Security.Cryptography.SHA256CryptoServiceProvider]::new()
    $answer.sha256 = [BitConverter]::ToString($sha256.ComputeHash($stream)).Replace('-', '').ToLowerInvariant()
}
finally { $stream.Dispose() }
ConvertTo-Json -InputObject $answer -Compress -Depth 2
