# Reads which run has this box to itself, if any. Changes nothing.
#
# in:   {}
# out:  {"holder": {"owner": "who, as text", "pid": 4242}}, {"holder": null} when nobody has
#
# See Set-RunLock.ps1. "pid" is 0 when the text cannot be read: another account's, or not written yet.
# https://learn.microsoft.com/dotnet/api/system.io.memorymappedfiles.memorymappedfile.openexisting
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

function Get-Holder {
    try { $map = [System.IO.MemoryMappedFiles.MemoryMappedFile]::OpenExisting('Global\vengeance-run', 'Read') }
    catch [System.IO.FileNotFoundException] { return $null }
    catch [System.UnauthorizedAccessException] { return [ordered] @{ owner = ''; pid = 0 } }
    try {
        $reader = [System.IO.StreamReader]::new($map.CreateViewStream(0, 0, 'Read'), [System.Text.Encoding]::UTF8)
        $text = $reader.ReadToEnd().TrimEnd([char] 0)
        $reader.Dispose() # a view that stays open keeps the memory
    }
    finally { $map.Dispose() }
    $number, $owner = $text -split "`n", 2
    return [ordered] @{ owner = [string] $owner; pid = [int] ('0' + $number) }
}

$answer = [ordered] @{ holder = Get-Holder }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
