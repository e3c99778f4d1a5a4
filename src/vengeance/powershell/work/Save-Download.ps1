# Downloads a file, goes on where an earlier try stopped, and puts it into its place when it is the right one.
#
# in:   {"url": "https://...", "path": "C:\\...\\OllamaSetup.exe", "sha256": "a929...", "signer": "Ollama Inc.", "proxy": null,
#        "stall_seconds": 60, "tries": 20, "pause_seconds": 1}
#       signer: the organisation (O=) in the certificate of its Authenticode signature, null asks for none;
#       stall_seconds: how long the server may say nothing; tries: connections at most;
#       pause_seconds: before the second try, then twice as long each time that brought nothing, 30 at most
# out:  {"changed": true, "bytes": 3145728, "resumed": 1048576, "tries": 2}       resumed: bytes that an earlier try had left
# progress: {"phase": "downloading", "bytes": 1048576, "total": 3145728}       phase: downloading, checking; total: null if not told
#
# What has come lies in PATH.part, and in PATH.part.json which version of which address it belongs to. The server is asked to
# go on only with that version (If-Range); it sends the whole file (200) if it has another one, the rest (206) if not:
# https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5
# https://learn.microsoft.com/dotnet/api/system.net.httpwebrequest.addrange
# ReadWriteTimeout is for each single read; a connection that is cut can look like the end of the file, so bytes are counted:
# https://learn.microsoft.com/dotnet/api/system.net.httpwebrequest.readwritetimeout
# TLS 1.2 is asked for by name, as an older default of .NET Framework may leave it out:
# https://learn.microsoft.com/dotnet/framework/network-programming/tls
# Which kind of file a signature is looked for in is told by the name's ending for some kinds, so it is checked under its own:
# https://learn.microsoft.com/powershell/module/microsoft.powershell.security/get-authenticodesignature
# A full disk is HRESULT 0x80070070 (ERROR_DISK_FULL): https://learn.microsoft.com/windows/win32/debug/system-error-codes
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$url = [string] $wanted.url
$path = [string] $wanted.path
$part = "$path.part"
$mark = "$path.part.json"
$diskFull = -2147024784
$tries = 0
$resumed = [long] 0
$utf8 = [System.Text.UTF8Encoding]::new($false)

function Get-Hash([string] $file) {
    $sha256 = [System.Security.Cryptography.SHA256CryptoServiceProvider]::new()
    $stream = [System.IO.FileStream]::new($file, [System.IO.FileMode]::Open, [System.IO.FileAccess]::Read, [System.IO.FileShare]::Read)
    try {
        $length = $stream.Length
        $buffer = [byte[]]::new(4194304)
        while (($count = $stream.Read($buffer, 0, $buffer.Length)) -gt 0) {
            [void] $sha256.TransformBlock($buffer, 0, $count, $null, 0)
            Save-Progress ([ordered] @{ phase = 'checking'; bytes = $stream.Position; total = $length }) # ps51: allow command
        }
        [void] $sha256.TransformFinalBlock($buffer, 0, 0)
    }
    finally { $stream.Dispose() }
    return [BitConverter]::ToString($sha256.Hash).Replace('-', '').ToLowerInvariant()
}

function Remove-Part {
    [System.IO.File]::Delete($part)
    [System.IO.File]::Delete($mark)
}

function Get-PartLength {
    if (-not [System.IO.File]::Exists($part)) { return [long] 0 }
    return [System.IO.FileInfo]::new($part).Length
}

function Get-Validator {
    # Of the version that the part belongs to; null: it belongs to another address, or nobody can tell.
    if (-not [System.IO.File]::Exists($mark)) { return $null }
    try { $known = ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($mark)) } catch { return $null }
    if ([string] $known.url -cne $url) { return $null }
    return $known.validator
}

function Set-Validator($response) {
    $validator = $response.Headers['ETag']
    # A weak one says that two versions are worth the same, not that their bytes are.
    if ($validator -and $validator.StartsWith('W/')) { $validator = $null }
    if (-not $validator) { $validator = $response.Headers['Last-Modified'] }
    $known = ConvertTo-Json -InputObject ([ordered] @{ url = $url; validator = $validator }) -Compress -Depth 2
    [System.IO.File]::WriteAllText($mark, $known, $utf8)
}

function New-Request([long] $offset, [string] $validator) {
    $request = [System.Net.WebRequest]::CreateHttp($url)
    $request.UserAgent = 'vengeance'
    $request.Timeout = 60000
    $request.ReadWriteTimeout = [int] $wanted.stall_seconds * 1000
    if ($wanted.proxy) {
        $request.Proxy = [System.Net.WebProxy]::new([string] $wanted.proxy)
        $request.Proxy.UseDefaultCredentials = $true
    }
    if ($offset -gt 0) {
        $request.AddRange($offset)
        $request.Headers.Add('If-Range', $validator)
    }
    return $request
}

function Get-Megabytes([long] $bytes) { return "$([long] [Math]::Ceiling($bytes / 1000000)) MB" }

function Test-Room([long] $needed) {
    $root = [System.IO.Path]::GetPathRoot($path)
    if ($root -notmatch '^[A-Za-z]:') { return }
    $free = [System.IO.DriveInfo]::new($root).AvailableFreeSpace
    if ($free -lt $needed) { throw "The disk $root has $(Get-Megabytes $free) free, and $(Get-Megabytes $needed) are still to come for $path. Make room, then run it again: it goes on where it stopped." }
}

# Receives what a response holds; true when all of it has come.
function Receive-Body($response, [long] $offset) {
    $total = $null
    if ($response.ContentLength -ge 0) { $total = $offset + $response.ContentLength }
    if ($null -ne $total) { Test-Room ($total - $offset) }
    $body = $response.GetResponseStream()
    $file = [System.IO.FileStream]::new($part, [System.IO.FileMode]::OpenOrCreate, [System.IO.FileAccess]::Write, [System.IO.FileShare]::Read)
    try {
        $file.SetLength($offset)
        [void] $file.Seek(0, [System.IO.SeekOrigin]::End)
        $buffer = [byte[]]::new(1048576)
        while (($count = $body.Read($buffer, 0, $buffer.Length)) -gt 0) {
            try { $file.Write($buffer, 0, $count) }
            catch [System.IO.IOException] {
                # The last piece goes, so that there is room to say why.
                $file.SetLength([Math]::Max(0, $file.Length - 2097152))
                throw
            }
            Save-Progress ([ordered] @{ phase = 'downloading'; bytes = $file.Position; total = $total }) # ps51: allow command
        }
        return ($null -eq $total -or $file.Position -eq $total)
    }
    finally { $file.Dispose() }
}

function Get-WebProblem($exception) {
    while ($null -ne $exception -and $exception -isnot [System.Net.WebException]) { $exception = $exception.InnerException }
    return $exception
}

function Test-DiskFull($exception) {
    while ($null -ne $exception) {
        if ($exception.HResult -eq $diskFull) { return $true }
        $exception = $exception.InnerException
    }
    return $false
}

$folder = [System.IO.Path]::GetDirectoryName($path)
[void] [System.IO.Directory]::CreateDirectory($folder)
if ([System.IO.File]::Exists($path) -and (Get-Hash $path) -eq [string] $wanted.sha256) {
    Remove-Part
    ConvertTo-Json -InputObject ([ordered] @{ changed = $false; bytes = [System.IO.FileInfo]::new($path).Length; resumed = 0; tries = 0 }) -Compress -Depth 2
    return
}

[System.Net.ServicePointManager]::SecurityProtocol = [System.Net.ServicePointManager]::SecurityProtocol -bor [System.Net.SecurityProtocolType]::Tls12
$resumed = Get-PartLength
if ($resumed -gt 0 -and -not (Get-Validator)) { $resumed = [long] 0 }
$pause = [double] $wanted.pause_seconds
$complete = $false
while (-not $complete) {
    $tries++
    $validator = [string] (Get-Validator)
    $before = Get-PartLength
    $offset = $before
    if ($validator -eq '') { $offset = [long] 0 }
    $problem = $null
    $request = $null
    $response = $null
    try {
        $request = New-Request $offset $validator
        $response = $request.GetResponse()
        $status = [int] $response.StatusCode
        if ($status -eq 206) {
            $range = [string] $response.Headers['Content-Range']
            if ($range -notmatch "^bytes $offset-") { throw "The server sent another part of $url than it was asked for: '$range' and not from byte $offset." }
            # Not every server knows If-Range.
            $tag = [string] $response.Headers['ETag']
            if ($tag -ne '' -and $validator.StartsWith('"') -and $tag -cne $validator) {
                Remove-Part
                throw [System.Net.WebException]::new('it has another version of the file now')
            }
        }
        else {
            $offset = [long] 0
            $before = [long] 0
            if ($tries -eq 1) { $resumed = [long] 0 }
            Set-Validator $response
        }
        $complete = Receive-Body $response $offset
        if (-not $complete) { $problem = 'the connection was closed before the end' }
    }
    catch {
        if (Test-DiskFull $_.Exception) { throw "The disk is full: $part holds $(Get-PartLength) bytes. Make room, then run it again: it goes on where it stopped." }
        $web = Get-WebProblem $_.Exception
        $innermost = $_.Exception
        while ($null -ne $innermost.InnerException) { $innermost = $innermost.InnerException }
        # Reading from a connection that is cut gives this kind.
        if ($null -eq $web -and $innermost -isnot [System.Net.Sockets.SocketException] -and $_.Exception.InnerException -isnot [System.IO.IOException]) { throw }
        $problem = $innermost.Message
        if ($null -ne $web -and $web.Status -eq 'ProtocolError' -and $null -ne $web.Response) {
            $status = [int] $web.Response.StatusCode
            $range = [string] $web.Response.Headers['Content-Range']
            $web.Response.Close()
            $problem = "it answered $status"
            if ($status -eq 416) {
                # An earlier try got all of it, and was ended before it could be checked.
                $complete = $offset -gt 0 -and $range -eq "bytes */$offset"
                if (-not $complete) { Remove-Part }
            }
            elseif ($status -eq 407) { throw "The proxy on the way to $url asks who wants to pass, and nobody is signed in to it: let it pass the box, or name another one." }
            elseif ($status -lt 500 -and $status -ne 408 -and $status -ne 429) { throw "The server answered $status for $url. Is the address right?" }
        }
        elseif ($null -ne $web -and ($web.Status -eq 'TrustFailure' -or $web.Status -eq 'SecureChannelFailure')) {
            throw "The certificate of the server of $url is not believed: $problem. Is the clock of the box right, or does a proxy look into the connection?"
        }
    }
    finally {
        # Closing alone would first read what is left of the answer.
        if (-not $complete -and $null -ne $request) { $request.Abort() }
        if ($null -ne $response) { $response.Close() }
    }
    if ($complete) { break }
    if ($tries -ge [int] $wanted.tries) {
        throw "$url could not be downloaded in $tries tries: $problem. $(Get-PartLength) bytes have come; run it again, and it goes on from there."
    }
    if ((Get-PartLength) -gt $before) { $pause = [double] $wanted.pause_seconds }
    [System.Threading.Thread]::Sleep([int] ($pause * 1000))
    $pause = [Math]::Min($pause * 2, 30)
}

$bytes = Get-PartLength
$found = Get-Hash $part
if ($found -ne [string] $wanted.sha256) {
    Remove-Part
    throw "What came from $url has the SHA-256 $found, and $([string] $wanted.sha256) was asked for. It was removed. Either the hash in the settings is that of another version, or somebody changed the file."
}

if ($wanted.signer) {
    $checked = [System.IO.Path]::Combine($folder, 'unchecked-' + [System.IO.Path]::GetFileName($path))
    [System.IO.File]::Delete($checked)
    [System.IO.File]::Move($part, $checked)
    $signature = Get-AuthenticodeSignature -LiteralPath $checked
    $organisation = ''
    if ($null -ne $signature.SignerCertificate) {
        $lines = $signature.SignerCertificate.SubjectName.Decode([System.Security.Cryptography.X509Certificates.X500DistinguishedNameFlags] 'UseNewLines, DoNotUseQuotes')
        foreach ($line in $lines.Split("`n")) {
            if ($line.Trim().StartsWith('O=')) { $organisation = $line.Trim().Substring(2) }
        }
    }
    if ([string] $signature.Status -ne 'Valid' -or $organisation -cne [string] $wanted.signer) {
        [System.IO.File]::Delete($checked)
        Remove-Part
        throw "The signature of what came from $url is '$($signature.Status)' and by '$organisation', and it should be valid and by '$([string] $wanted.signer)'. It was removed."
    }
    [System.IO.File]::Move($checked, $part)
}

if ([System.IO.File]::Exists($path)) { [System.IO.File]::Replace($part, $path, [NullString]::Value) }
else { [System.IO.File]::Move($part, $path) }
[System.IO.File]::Delete($mark)
ConvertTo-Json -InputObject ([ordered] @{ changed = $true; bytes = $bytes; resumed = $resumed; tries = $tries }) -Compress -Depth 2
