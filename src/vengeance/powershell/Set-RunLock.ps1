# Gives the box to one run, for as long as the process lives that runs this script. One that has it keeps it.
#
# in:   {"owner": "who, as text", "instead_of": 0, "stay": false}
# out:  {"changed": true, "before": null, "after": {"owner": "who, as text", "pid": 4242}, "reboot_required": false}
#
# "owner" is ASCII, at most 4,000 characters. "instead_of" is the process id of a holder that is ended for it, 0 is none.
# "stay" keeps the process from ending, where it would with this script. It was refused when "after" has another owner.
#
# The lock is a named piece of memory: whoever makes it first has it, and Windows takes it away with the last process
# that has it open, whatever ends that one. So nothing lies on a disk, and no run that died leaves anything to clean up.
# "Global" is one for all sessions; only session 0, where WinRM is, and administrators can make one there.
# https://learn.microsoft.com/dotnet/api/system.io.memorymappedfiles.memorymappedfile.createnew
# https://learn.microsoft.com/windows/win32/memory/creating-named-shared-memory
# https://learn.microsoft.com/windows/win32/termserv/kernel-object-namespaces
# What nothing refers to is closed by the garbage collector, so the process keeps it:
# https://learn.microsoft.com/dotnet/api/system.appdomain.setdata
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

function Set-Holder([string] $owner) {
    try { $map = [System.IO.MemoryMappedFiles.MemoryMappedFile]::CreateNew('Global\vengeance-run', 4096) }
    catch [System.IO.IOException], [System.UnauthorizedAccessException] { return $false } # another was faster
    [AppDomain]::CurrentDomain.SetData('vengeance-run', $map)
    $bytes = [System.Text.Encoding]::ASCII.GetBytes("$PID`n$owner")
    $view = $map.CreateViewStream()
    $view.Write($bytes, 0, $bytes.Length)
    $view.Dispose()
    return $true
}

$wanted = ConvertFrom-Json -InputObject $InputJson
$before = Get-Holder
$changed = $false
$clock = [System.Diagnostics.Stopwatch]::StartNew()
while ($true) {
    $holder = Get-Holder
    if ($null -eq $holder) {
        if (Set-Holder $wanted.owner) { $changed = $true }
        elseif ($clock.Elapsed.TotalSeconds -gt 10) { throw 'Another run takes the box at the same time, again and again.' }
        continue
    }
    if ($holder.pid -eq $PID -or $holder.pid -eq 0) { break }
    # The same run has it in a process that it has lost, or the process has ended and Windows clears up after it.
    $process = Get-Process -Id $holder.pid -ErrorAction 'SilentlyContinue'
    if ($null -ne $process) {
        if ($holder.owner -cne $wanted.owner -and $holder.pid -ne $wanted.instead_of) { break }
        Stop-Process -Id $holder.pid -Force -ErrorAction 'SilentlyContinue'
    }
    if ($clock.Elapsed.TotalSeconds -gt 10) { throw "The process $($holder.pid) that has the box does not end." }
    Start-Sleep -Milliseconds 100
}

$answer = [ordered] @{ changed = $changed; before = $before; after = $holder; reboot_required = $false }
ConvertTo-Json -InputObject $answer -Compress -Depth 3
if ($wanted.stay -and $holder.pid -eq $PID) { [System.Threading.Thread]::Sleep([System.Threading.Timeout]::Infinite) }
