# Starts a piece of long work that goes on when the connection that asked for it is gone.
#
# in:   {"name": "OllamaSetup.exe-1f0c", "work": "Save-Download", "runner": "...", "text": "...", "input": "{...}", "token": "6f..."}
#       name: letters, digits, '.', '_', '-': the folder of this piece of work; work: which kind it is, for messages;
#       runner, text: PowerShell of what surrounds the work, and of the work; input: JSON text for it;
#       token: another one for each wish. Asked again with the token of the last start, nothing is started
# out:  {"started": true, "joined": false, "pid": 4711}
#       joined: the same work with the same input runs already; pid: null when nothing was started
#
# Everything lies in %ProgramData%\vengeance\work\NAME. What lies there runs with an administrator's rights, so nothing is
# started where somebody else could put it: Protect-Directory makes %ProgramData%\vengeance before.
# WinRM ends a shell's programs with the shell. What WMI starts is no child of it:
# https://github.com/jborean93/pypsrp/issues/108
# https://learn.microsoft.com/windows/win32/cimwin32prov/create-method-in-class-win32-process
# https://learn.microsoft.com/powershell/module/cimcmdlets/invoke-cimmethod
# Whether it runs is told by a file that the runner holds open and shares with nobody:
# https://learn.microsoft.com/dotnet/api/system.io.fileshare
# https://learn.microsoft.com/windows/win32/secauthz/well-known-sids (S-1-5-18: SYSTEM, S-1-5-32-544: Administrators)
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$name = [string] $wanted.name
if ($name -notmatch '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$') { throw "'$name' is no name of work: use letters, digits, '.', '_' and '-'." }
$base = [System.IO.Path]::Combine([Environment]::GetFolderPath('CommonApplicationData'), 'vengeance')
$folder = [System.IO.Path]::Combine($base, 'work', $name)
$plain = [System.Text.UTF8Encoding]::new($false)
$startPath = [System.IO.Path]::Combine($folder, 'start.json')
$inputPath = [System.IO.Path]::Combine($folder, 'input.json')
$lockPath = [System.IO.Path]::Combine($folder, 'running.lock')

function Test-Running {
    try {
        $probe = [System.IO.FileStream]::new($lockPath, [System.IO.FileMode]::Open, [System.IO.FileAccess]::Read,
            [System.IO.FileShare] 'ReadWrite, Delete')
        $probe.Dispose()
        return $false
    }
    catch [System.IO.FileNotFoundException], [System.IO.DirectoryNotFoundException] { return $false }
    catch [System.IO.IOException] { return $true }
}

function Test-Closed([string] $place) {
    if (-not [System.IO.Directory]::Exists($place)) { return $false }
    $sid = [System.Security.Principal.SecurityIdentifier]
    $keepers = @('S-1-5-18', 'S-1-5-32-544', [System.Security.Principal.WindowsIdentity]::GetCurrent().User.Value)
    $acl = Get-Acl -LiteralPath $place
    if (-not $acl.AreAccessRulesProtected -or $keepers -notcontains $acl.GetOwner($sid).Value) { return $false }
    foreach ($rule in @($acl.GetAccessRules($true, $true, $sid))) {
        if ($keepers -notcontains $rule.IdentityReference.Value) { return $false }
    }
    return $true
}

if (-not (Test-Closed $base)) {
    throw "$base is not there, or others than administrators can write into it: nothing is started there. Run deploys/windows.py."
}
[void] [System.IO.Directory]::CreateDirectory($folder)

$answer = [ordered] @{ started = $false; joined = $false; pid = $null }
$last = $null
if ([System.IO.File]::Exists($startPath)) {
    # A start that was cut can leave half a file.
    try { $last = ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($startPath)) } catch { $last = $null }
}
if ($null -ne $last -and [string] $last.token -ceq [string] $wanted.token) {
    ConvertTo-Json -InputObject $answer -Compress -Depth 2
    return
}
if (Test-Running) {
    $known = ''
    if ([System.IO.File]::Exists($inputPath)) { $known = [System.IO.File]::ReadAllText($inputPath) }
    if (-not [string]::Equals($known, [string] $wanted.input, [StringComparison]::Ordinal)) {
        $process = ''
        $processPath = [System.IO.Path]::Combine($folder, 'process.json')
        if ([System.IO.File]::Exists($processPath)) {
            $process = [string] (ConvertFrom-Json -InputObject ([System.IO.File]::ReadAllText($processPath))).pid
        }
        throw "The work $name runs already, with other settings. Wait for its end, or end it on the box: taskkill /PID $process /T /F"
    }
    $answer.joined = $true
    ConvertTo-Json -InputObject $answer -Compress -Depth 2
    return
}

$root = [System.IO.Path]::GetPathRoot($folder)
$free = [System.IO.DriveInfo]::new($root).AvailableFreeSpace
if ($free -lt 131072) { throw "The disk $root is full: $free bytes are free. Make room, then run it again." }
foreach ($old in @('progress.json', 'result.json', 'process.json')) {
    [System.IO.File]::Delete([System.IO.Path]::Combine($folder, $old))
}
[System.IO.File]::WriteAllText([System.IO.Path]::Combine($folder, 'runner.ps1'), [string] $wanted.runner, $plain)
[System.IO.File]::WriteAllText([System.IO.Path]::Combine($folder, 'work.ps1'), [string] $wanted.text, $plain)
[System.IO.File]::WriteAllText($inputPath, [string] $wanted.input, $plain)

$shell = [System.IO.Path]::Combine([Environment]::SystemDirectory, 'WindowsPowerShell\v1.0\powershell.exe')
$runner = [System.IO.Path]::Combine($folder, 'runner.ps1')
$line = '"{0}" -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -File "{1}"' -f $shell, $runner
$start = ConvertTo-Json -InputObject ([ordered] @{ token = [string] $wanted.token; work = [string] $wanted.work }) -Compress -Depth 2
# Written first: a wish that was cut here is not started twice.
[System.IO.File]::WriteAllText($startPath, $start, $plain)
$created = Invoke-CimMethod -ClassName Win32_Process -MethodName Create -Arguments @{ CommandLine = $line; CurrentDirectory = $folder }
if ([int] $created.ReturnValue -ne 0) {
    [System.IO.File]::Delete($startPath)
    throw "Windows did not start the work $name in the background: Win32_Process.Create answered $($created.ReturnValue)."
}
$answer.started = $true
$answer.pid = [int] $created.ProcessId

# PowerShell takes a second or two before it holds its lock; until then the work would look as if it had died.
$clock = [System.Diagnostics.Stopwatch]::StartNew()
$resultPath = [System.IO.Path]::Combine($folder, 'result.json')
$alive = $true
while ($alive -and $clock.Elapsed.TotalSeconds -lt 60 -and -not (Test-Running) -and -not [System.IO.File]::Exists($resultPath)) {
    [System.Threading.Thread]::Sleep(50)
    $alive = $null -ne (Get-Process -Id $answer.pid -ErrorAction SilentlyContinue)
}
if (-not (Test-Running) -and -not [System.IO.File]::Exists($resultPath)) {
    throw "Windows started the work $name as process $($answer.pid), and it did not begin. Does a policy of this Windows forbid PowerShell scripts?"
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2
