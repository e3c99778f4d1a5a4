# Download without the agent: reads one piece of a file.
# in:  {"path", "offset", "count"}
# out: {"size", "sha256" (of the whole file, only with offset 0, else null), "data": base64}
param([string] $InputJson)
$ErrorActionPreference = 'Stop'
$wanted = ConvertFrom-Json -InputObject $InputJson
if ([System.IO.Directory]::Exists($wanted.path)) { throw "$($wanted.path) is a directory" }
# Others may go on writing, as they do to a log.
$file = [System.IO.FileStream]::new($wanted.path, [System.IO.FileMode]::Open, [System.IO.FileAccess]::Read,
    [System.IO.FileShare]'ReadWrite, Delete')
try {
    $sha256 = $null
    if ($wanted.offset -eq 0) {
        $sha = [System.Security.Cryptography.SHA256CryptoServiceProvider]::new()
        $sha256 = [BitConverter]::ToString($sha.ComputeHash($file)).Replace('-', '').ToLowerInvariant()
    }
    $file.Position = [long] $wanted.offset
    $buffer = [byte[]]::new([int] [Math]::Min([long] $wanted.count, [Math]::Max([long] 0, $file.Length - $file.Position)))
    $filled = 0
    while ($filled -lt $buffer.Length) {
        $got = $file.Read($buffer, $filled, $buffer.Length - $filled)
        if ($got -eq 0) { break }
        $filled += $got
    }
    $answer = @{ size = $file.Length; sha256 = $sha256; data = [Convert]::ToBase64String($buffer, 0, $filled) }
}
finally { $file.Dispose() }
ConvertTo-Json -InputObject $answer -Compress -Depth 1
