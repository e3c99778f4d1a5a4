# Runs one program and gives back what it printed, byte for byte.
#
# in:   {"file": "C:\\Windows\\System32\\cmd.exe", "arguments": "/d /s /c \"ver\"", "stdin": null, "cwd": null, "env": {},
#        "timeout": null}
#       arguments: the rest of the command line as it is; stdin: text, sent as UTF-8, null gives an empty one;
#       env: variables set for this program, beside those of the session; timeout: seconds, null waits for ever
# out:  {"rc": 0, "stdout": "BASE64", "stderr": "BASE64", "timed_out": false}
#       rc: 0 to 4294967295, as Windows gives it; after a timeout the program and its children are ended, and rc is 1
#
# Both outputs are read while the program runs, or a full pipe would stop it:
# https://learn.microsoft.com/dotnet/api/system.diagnostics.processstartinfo.redirectstandarderror
# A program that leaves a child behind ends before its outputs do: what has come by two seconds after its end is given back.
# Started with a redirected stdin, .NET Framework writes the mark of the console's input encoding there first, and that of
# code page 65001 is a byte-order mark, so the encoding is one without a mark meanwhile:
# https://learn.microsoft.com/dotnet/api/system.io.streamwriter.autoflush
# https://learn.microsoft.com/dotnet/api/system.console.inputencoding
# https://learn.microsoft.com/windows-server/administration/windows-commands/taskkill
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$plain = [System.Text.UTF8Encoding]::new($false)

$start = [System.Diagnostics.ProcessStartInfo]::new([string] $wanted.file, [string] $wanted.arguments)
$start.UseShellExecute = $false
$start.CreateNoWindow = $true
$start.RedirectStandardOutput = $true
$start.RedirectStandardError = $true
$start.RedirectStandardInput = $true
if ($wanted.cwd) { $start.WorkingDirectory = [string] $wanted.cwd }
if ($wanted.env) {
    foreach ($variable in $wanted.env.PSObject.Properties) {
        $start.EnvironmentVariables[$variable.Name] = [string] $variable.Value
    }
}

$encoding = $null
try {
    $encoding = [Console]::InputEncoding
    [Console]::InputEncoding = $plain
}
catch [System.IO.IOException] { $encoding = $null } # no console, so no encoding with a mark
$clock = [System.Diagnostics.Stopwatch]::StartNew()
try { $process = [System.Diagnostics.Process]::Start($start) }
finally { if ($null -ne $encoding) { [Console]::InputEncoding = $encoding } }

$stdout = [System.IO.MemoryStream]::new()
$stderr = [System.IO.MemoryStream]::new()
$readers = [System.Threading.Tasks.Task[]] @(
    $process.StandardOutput.BaseStream.CopyToAsync($stdout)
    $process.StandardError.BaseStream.CopyToAsync($stderr)
)
$writer = $null
if ($null -ne $wanted.stdin) {
    $bytes = $plain.GetBytes([string] $wanted.stdin)
    # Not waited for: a program may end without reading it all.
    $writer = $process.StandardInput.BaseStream.WriteAsync($bytes, 0, $bytes.Length)
    while (-not $writer.IsCompleted -and -not $process.WaitForExit(20)) {
        if ($null -ne $wanted.timeout -and $clock.Elapsed.TotalSeconds -ge $wanted.timeout) { break }
    }
}
if ($null -eq $writer -or $writer.IsCompleted) {
    try { $process.StandardInput.Close() }
    catch [System.IO.IOException] { $writer = $null } # it has closed its end already
}

$timedOut = $false
if ($null -eq $wanted.timeout) { while (-not $process.WaitForExit(1000)) { } }
else {
    $left = $wanted.timeout - $clock.Elapsed.TotalSeconds
    $timedOut = -not $process.WaitForExit([int] [Math]::Max(0, $left * 1000))
}
if ($timedOut) {
    $kill = [System.Diagnostics.ProcessStartInfo]::new("$env:SystemRoot\System32\taskkill.exe", "/PID $($process.Id) /T /F")
    $kill.UseShellExecute = $false
    $kill.CreateNoWindow = $true
    $kill.RedirectStandardOutput = $true
    $kill.RedirectStandardError = $true
    [void] [System.Diagnostics.Process]::Start($kill).WaitForExit(10000)
}
[void] [System.Threading.Tasks.Task]::WaitAll($readers, 2000)

$code = 1
if (-not $timedOut) { $code = [long] $process.ExitCode -band [long] [uint32]::MaxValue }
$answer = [ordered] @{
    rc = $code
    stdout = [Convert]::ToBase64String($stdout.ToArray())
    stderr = [Convert]::ToBase64String($stderr.ToArray())
    timed_out = $timedOut
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2
