# Stage 2 of the agent, run by loader.ps1, which leaves it $reader (stdin, one character a byte) and $latin1.
#
# stdin:  a line with the nonce, then requests "NONCE ID VERB FIELD..."; fields are base64 of UTF-8, or "-".
#         A "piece" line is followed by that many raw bytes. Other lines are junk from a cut connection.
# stdout: answers "<RS>NONCE ID end RC TIMED_OUT LENGTH STDOUT LENGTH STDERR", before it "out", "err", "data".
# The answer to the last id is kept: asked again, it is sent again and nothing runs twice.
#
# A host that takes note of "exit N" is the documented way to learn the code (sample Host01):
# https://learn.microsoft.com/powershell/scripting/developer/hosting/writing-a-windows-powershell-host-application
# Children inherit the standard input of the process (SetStdHandle); theirs is an empty pipe, so none eats requests:
# https://learn.microsoft.com/windows/console/setstdhandle
# https://learn.microsoft.com/dotnet/api/system.io.pipes.anonymouspipeserverstream
Add-Type -TypeDefinition @'
using System;
using System.Globalization;
using System.Management.Automation.Host;
using System.Runtime.InteropServices;
using System.Threading;

namespace Vengeance
{
    public static class Native
    {
        [DllImport("kernel32.dll", SetLastError = true)]
        public static extern bool SetStdHandle(int which, IntPtr handle);
    }

    public class ExitHost : PSHost
    {
        private readonly Guid id = Guid.NewGuid();
        public bool ExitCalled;
        public int ExitCode;
        public override CultureInfo CurrentCulture { get { return Thread.CurrentThread.CurrentCulture; } }
        public override CultureInfo CurrentUICulture { get { return Thread.CurrentThread.CurrentUICulture; } }
        public override Guid InstanceId { get { return id; } }
        public override string Name { get { return "vengeance"; } }
        public override PSHostUserInterface UI { get { return null; } }
        public override Version Version { get { return new Version(1, 0); } }
        public override void EnterNestedPrompt() { throw new NotSupportedException(); }
        public override void ExitNestedPrompt() { throw new NotSupportedException(); }
        public override void NotifyBeginApplication() { }
        public override void NotifyEndApplication() { }
        public override void SetShouldExit(int exitCode) { ExitCalled = true; ExitCode = exitCode; }
    }
}
'@

$utf8 = [System.Text.UTF8Encoding]::new($false)
$stdout = [Console]::OpenStandardOutput()
$nonce = $reader.ReadLine()
$last = -1
$lastAnswer = ''
$upload = $null

$pipe = [System.IO.Pipes.AnonymousPipeServerStream]::new(
    [System.IO.Pipes.PipeDirection]::Out, [System.IO.HandleInheritability]::Inheritable)
$emptyInput = $pipe.ClientSafePipeHandle
$pipe.Dispose()
$stdinReplaced = [Vengeance.Native]::SetStdHandle(-10, $emptyInput.DangerousGetHandle())

function Send-Frame([string] $text) {
    $bytes = $utf8.GetBytes("`n" + [char] 0x1e + $nonce + ' ' + $text + "`n")
    $stdout.Write($bytes, 0, $bytes.Length)
    $stdout.Flush()
}

function Get-Field([string] $field) {
    if ($field -eq '-') { return '' }
    return $utf8.GetString([Convert]::FromBase64String($field))
}

function Get-LengthAndField([string] $text) {
    if ($text.Length -eq 0) { return '0 -' }
    $bytes = $utf8.GetBytes($text)
    return [string] $bytes.Length + ' ' + [Convert]::ToBase64String($bytes)
}

function Send-End([long] $id, [long] $code, [bool] $timedOut, [string] $out, [string] $err) {
    $script:last = $id
    $script:lastAnswer = '{0} end {1} {2} {3} {4}' -f $id, ($code -band [long] [uint32]::MaxValue), [int] $timedOut,
        (Get-LengthAndField $out), (Get-LengthAndField $err)
    Send-Frame $script:lastAnswer
}

function Test-Text($item) {
    return $item -is [string] -or $item -is [System.Management.Automation.InformationRecord]
}

# Objects in a row are formatted together: one table for all, and what Format-Table puts out makes sense only as a whole.
function Add-Objects($text, $objects) {
    if ($objects.Count -eq 0) { return }
    $row = $objects.ToArray()
    $objects.Clear()
    [void] $text.Append((($row | Out-String -Width 4096) -replace ' +(?=\r?\n)', ''))
}

# Streams are read by index or taken whole: the enumerator of an open PSDataCollection waits for more.
# https://learn.microsoft.com/dotnet/api/system.management.automation.psdatacollection-1
function ConvertTo-Text($items) {
    $text = [System.Text.StringBuilder]::new()
    $objects = [System.Collections.ArrayList]::new()
    foreach ($item in $items) {
        if ($null -eq $item) { continue }
        if (-not (Test-Text $item)) {
            [void] $objects.Add($item)
            continue
        }
        Add-Objects $text $objects
        if ($item -is [string]) { [void] $text.Append($item).Append("`n") }
        elseif ($item.Tags -contains 'PSHOST') {
            [void] $text.Append([string] $item.MessageData)
            if (-not $item.MessageData.NoNewLine) { [void] $text.Append("`n") }
        }
    }
    Add-Objects $text $objects
    return $text.ToString()
}

function Get-ErrorText($record) {
    # A native program's stderr arrives as error records; their text is the line itself.
    if ($record.FullyQualifiedErrorId -like 'NativeCommandError*') { return $record.ToString() + "`n" }
    return ($record | Out-String -Width 4096).TrimEnd() + "`n"
}

function Send-Live([long] $id, [string] $stream, [string] $text) {
    if ($text.Length -gt 0) { Send-Frame ('{0} {1} {2}' -f $id, $stream, [Convert]::ToBase64String($utf8.GetBytes($text))) }
}

function Invoke-Script([long] $id, [string] $script, [string] $inputJson, [string] $secret, $options) {
    $exitHost = [Vengeance.ExitHost]::new()
    $runspace = [System.Management.Automation.Runspaces.RunspaceFactory]::CreateRunspace(
        $exitHost, [System.Management.Automation.Runspaces.InitialSessionState]::CreateDefault2())
    $runspace.Open()
    $runspace.SessionStateProxy.SetVariable('ProgressPreference', 'SilentlyContinue')
    $shell = [System.Management.Automation.PowerShell]::Create()
    $shell.Runspace = $runspace
    $saved = @{}
    $stuck = $false
    try {
        if ($options.env) {
            foreach ($pair in $options.env.PSObject.Properties) {
                $saved[$pair.Name] = [Environment]::GetEnvironmentVariable($pair.Name)
                [Environment]::SetEnvironmentVariable($pair.Name, [string] $pair.Value)
            }
        }
        # SetLocation takes [ and ] for wildcards.
        if ($options.cwd) {
            [void] $runspace.SessionStateProxy.Path.SetLocation([WildcardPattern]::Escape([string] $options.cwd))
        }
        [void] $shell.AddScript($script)
        if ($inputJson -ne '') { [void] $shell.AddParameter('InputJson', $inputJson) }
        if ($secret -ne '') { [void] $shell.AddParameter('Secret', $secret) }
        # Write-Host goes to the information stream, and without a user interface no further: about_Output_Streams
        $shell.Commands.Commands[0].MergeMyResults(
            [System.Management.Automation.Runspaces.PipelineResultTypes]::Information,
            [System.Management.Automation.Runspaces.PipelineResultTypes]::Output)
        $given = [System.Management.Automation.PSDataCollection[PSObject]]::new()
        if ($options.stdin) {
            foreach ($line in ([string] $options.stdin) -replace "`r?`n\z", '' -split "`r?`n") { $given.Add($line) }
        }
        $given.Complete()
        $output = [System.Management.Automation.PSDataCollection[PSObject]]::new()
        $running = $shell.BeginInvoke($given, $output)
        $clock = [System.Diagnostics.Stopwatch]::StartNew()
        $shownOut = 0
        $shownErr = 0
        $timedOut = $false
        while (-not $running.AsyncWaitHandle.WaitOne(100)) {
            if ($options.stream) {
                $upTo = $output.Count
                # A row of objects that may go on is shown once it has ended.
                if ($upTo -gt $shownOut -and (Test-Text $output[$upTo - 1])) {
                    Send-Live $id 'out' (ConvertTo-Text @(for ($i = $shownOut; $i -lt $upTo; $i++) { $output[$i] }))
                    $shownOut = $upTo
                }
                for (; $shownErr -lt $shell.Streams.Error.Count; $shownErr++) {
                    Send-Live $id 'err' (Get-ErrorText $shell.Streams.Error[$shownErr])
                }
            }
            if ($null -ne $options.timeout -and $clock.Elapsed.TotalSeconds -ge $options.timeout) {
                $timedOut = $true
                $stopping = $shell.BeginStop($null, $null)
                $stuck = -not $stopping.AsyncWaitHandle.WaitOne(5000)
                break
            }
        }
        $out = ConvertTo-Text $output.ReadAll()
        $err = ''
        $failed = $false
        foreach ($record in $shell.Streams.Error.ReadAll()) {
            $err += Get-ErrorText $record
            if ($record.FullyQualifiedErrorId -notlike 'NativeCommandError*') { $failed = $true }
        }
        foreach ($record in $shell.Streams.Warning.ReadAll()) { $err += "WARNING: $($record.Message)`n" }
        if ($shell.InvocationStateInfo.State -eq [System.Management.Automation.PSInvocationState]::Failed) {
            $failed = $true
            $err += $shell.InvocationStateInfo.Reason.Message + "`n"
        }
        $native = $null
        if (-not $stuck) { $native = $runspace.SessionStateProxy.GetVariable('LASTEXITCODE') }
        if ($exitHost.ExitCalled) { $code = $exitHost.ExitCode }
        elseif ($failed -or $timedOut) { $code = 1 }
        elseif ($null -ne $native) { $code = $native }
        else { $code = 0 }
        Send-End $id $code $timedOut $out $err
        # A pipeline that will not stop can only be left by ending this process; the client starts another.
        if ($stuck) { [Environment]::Exit(70) }
    }
    finally {
        foreach ($name in $saved.Keys) { [Environment]::SetEnvironmentVariable($name, $saved[$name]) }
        $shell.Dispose()
        $runspace.Dispose()
    }
}

function Get-StreamHash($stream) {
    $sha = [System.Security.Cryptography.SHA256CryptoServiceProvider]::new()
    return [BitConverter]::ToString($sha.ComputeHash($stream)).Replace('-', '').ToLowerInvariant()
}

function Open-Upload([long] $id, [string] $path, [string] $sha256, [long] $size) {
    if ($null -ne $script:upload) { Remove-Upload }
    if ([System.IO.Directory]::Exists($path)) { throw "$path is a directory" }
    if ([System.IO.File]::Exists($path)) {
        $old = [System.IO.File]::OpenRead($path)
        try { $same = $old.Length -eq $size -and (Get-StreamHash $old) -eq $sha256 }
        finally { $old.Dispose() }
        if ($same) { Send-End $id 0 $false 'equal' ''; return }
    }
    $temp = "$path.$nonce.tmp"
    $file = [System.IO.File]::Create($temp)
    $script:upload = @{ Id = $id; Path = $path; Temp = $temp; File = $file; Size = $size; Sha256 = $sha256; Error = $null }
    Send-End $id 0 $false 'ready' ''
}

function Add-Piece([long] $id, [long] $offset, [int] $length) {
    $characters = [char[]]::new($length)
    $count = $reader.ReadBlock($characters, 0, $length)
    $open = $script:upload
    if ($null -eq $open -or $open.Id -ne $id -or $open.Error -or $count -ne $length) { return }
    if ($open.File.Position -ne $offset) { return }
    try { $open.File.Write($latin1.GetBytes($characters, 0, $count), 0, $count) }
    catch { $open.Error = $_.Exception.GetBaseException().Message }
}

function Remove-Upload {
    $script:upload.File.Dispose()
    [System.IO.File]::Delete($script:upload.Temp)
    $script:upload = $null
}

function Close-Upload([long] $id) {
    $open = $script:upload
    if ($null -eq $open) { throw 'no upload is open' }
    try {
        if ($open.Error) { throw $open.Error }
        $open.File.Flush($true)
        $written = $open.File.Length
        $open.File.Position = 0
        $hash = Get-StreamHash $open.File
        if ($written -ne $open.Size -or $hash -ne $open.Sha256) {
            throw "what arrived differs from what was sent: $written bytes, SHA-256 $hash"
        }
        $open.File.Dispose()
        # Replace keeps the old file's permissions and is one step for a reader. $null would become an empty string.
        if ([System.IO.File]::Exists($open.Path)) { [System.IO.File]::Replace($open.Temp, $open.Path, [NullString]::Value) }
        else { [System.IO.File]::Move($open.Temp, $open.Path) }
        $script:upload = $null
    }
    catch {
        Remove-Upload
        throw
    }
    Send-End $id 0 $false $hash ''
}

function Read-File([long] $id, [string] $path, [long] $offset, [long] $count) {
    if ([System.IO.Directory]::Exists($path)) { throw "$path is a directory" }
    # Others may go on writing, as they do to a log.
    $file = [System.IO.FileStream]::new($path, [System.IO.FileMode]::Open, [System.IO.FileAccess]::Read, [System.IO.FileShare]'ReadWrite, Delete')
    try {
        $hash = '-'
        if ($offset -eq 0) { $hash = Get-StreamHash $file }
        $size = $file.Length
        $file.Position = $offset
        $buffer = [byte[]]::new(261120)
        while ($count -gt 0) {
            $got = $file.Read($buffer, 0, [int] [Math]::Min($count, $buffer.Length))
            if ($got -eq 0) { break }
            Send-Frame ('{0} data {1} {2}' -f $id, $offset, [Convert]::ToBase64String($buffer, 0, $got))
            $offset += $got
            $count -= $got
        }
    }
    finally { $file.Dispose() }
    Send-End $id 0 $false "$size $hash" ''
}

function Send-Proof([long] $id, [string] $field) {
    $raw = [Convert]::FromBase64String($field)
    $sha = [System.Security.Cryptography.SHA256CryptoServiceProvider]::new()
    $proof = @{
        version = $PSVersionTable.PSVersion.ToString()
        language_mode = [string] $ExecutionContext.SessionState.LanguageMode
        bytes = [BitConverter]::ToString($sha.ComputeHash($raw)).Replace('-', '').ToLowerInvariant()
        child_stdin = 'open'
        pid = $PID
    }
    # findstr reads its stdin to the end: with an open one this would wait, and be killed. Ended at once it takes
    # milliseconds, but the first start of a program may be held up by a virus scanner.
    $start = [System.Diagnostics.ProcessStartInfo]::new("$env:SystemRoot\System32\findstr.exe", 'x')
    $start.UseShellExecute = $false
    $child = [System.Diagnostics.Process]::Start($start)
    if ($child.WaitForExit(20000)) { if ($stdinReplaced) { $proof.child_stdin = 'closed' } }
    else { $child.Kill() }
    Send-End $id 0 $false (ConvertTo-Json -InputObject $proof -Compress -Depth 2) ''
}

while ($null -ne ($line = $reader.ReadLine())) {
    $words = $line.Split(' ')
    if ($words.Length -lt 3 -or $words[0] -cne $nonce) { continue }
    $id = [long] $words[1]
    $verb = $words[2]
    if ($verb -eq 'piece') { Add-Piece $id ([long] $words[3]) ([int] $words[4]); continue }
    if ($id -eq $last) { Send-Frame $lastAnswer; continue }
    if ($id -lt $last) { continue }
    if ($verb -eq 'bye') { break }
    try {
        switch ($verb) {
            'prove' { Send-Proof $id $words[3] }
            'run' {
                $options = ConvertFrom-Json -InputObject (Get-Field $words[5])
                $secret = ''
                if ($words.Length -gt 6) { $secret = Get-Field $words[6] }
                Invoke-Script $id (Get-Field $words[3]) (Get-Field $words[4]) $secret $options
            }
            'open' { Open-Upload $id (Get-Field $words[3]) (Get-Field $words[4]) ([long] (Get-Field $words[5])) }
            'close' { Close-Upload $id }
            'read' { Read-File $id (Get-Field $words[3]) ([long] (Get-Field $words[4])) ([long] (Get-Field $words[5])) }
            default { throw "the agent has no verb $verb" }
        }
    }
    catch { Send-End $id 1 $false '' ($_.Exception.GetBaseException().Message + "`n") }
}
if ($null -ne $upload) { Remove-Upload }
