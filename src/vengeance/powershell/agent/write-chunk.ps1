# Upload without the agent: appends one piece to a temporary file beside the target; the last piece puts it in place.
# in:  {"path", "temp", "sha256", "size", "offset", "data": base64, "last": bool}
# out: {"state": "equal" (the target has that content already) | "more" | "done"}
param([string] $InputJson)
$ErrorActionPreference = 'Stop'
$wanted = ConvertFrom-Json -InputObject $InputJson
function Get-Hash([string] $path) {
    $stream = [System.IO.File]::OpenRead($path)
    try {
        $sha = [System.Security.Cryptography.SHA256CryptoServiceProvider]::new()
        return [BitConverter]::ToString($sha.ComputeHash($stream)).Replace('-', '').ToLowerInvariant()
    }
    finally { $stream.Dispose() }
}
if ([System.IO.Directory]::Exists($wanted.path)) { throw "$($wanted.path) is a directory" }
$exists = [System.IO.File]::Exists($wanted.path)
$state = 'more'
if ($wanted.offset -eq 0 -and $exists -and (Get-Hash $wanted.path) -eq $wanted.sha256) { $state = 'equal' }
else {
    try {
        $file = [System.IO.FileStream]::new($wanted.temp, [System.IO.FileMode]::OpenOrCreate)
        try {
            $file.SetLength([long] $wanted.offset)
            $file.Position = [long] $wanted.offset
            $bytes = [Convert]::FromBase64String($wanted.data)
            $file.Write($bytes, 0, $bytes.Length)
            $file.Flush($true)
        }
        finally { $file.Dispose() }
        if ($wanted.last) {
            if ((Get-Hash $wanted.temp) -ne $wanted.sha256) { throw 'what arrived differs from what was sent' }
            # Replace keeps the old file's permissions. $null would become an empty string.
            if ($exists) { [System.IO.File]::Replace($wanted.temp, $wanted.path, [NullString]::Value) }
            else { [System.IO.File]::Move($wanted.temp, $wanted.path) }
            $state = 'done'
        }
    }
    catch {
        [System.IO.File]::Delete($wanted.temp)
        throw $_.Exception.GetBaseException().Message
    }
}
ConvertTo-Json -InputObject @{ state = $state } -Compress -Depth 1
