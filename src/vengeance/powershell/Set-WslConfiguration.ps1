# Writes the .wslconfig of the account that this script runs as, and shuts its WSL down so that it counts from now on.
#
# in:   {"text": "[wsl2]\nmemory=24GB\n", "shutdown": true}
#       text: null removes the file; shutdown: stop every distribution of this account when the file changes; they start
#       again with the next program
# out:  {"changed": true, "before": null, "after": "[wsl2]\nmemory=24GB\n", "reboot_required": false, "stopped": true}
#       stopped: wsl.exe --shutdown was run
#
# The file is read when the virtual machine starts, and not again. File and shutdown are one script, so that a lost
# connection cannot leave a virtual machine that runs without the file that is there. When the shutdown fails, the old file
# comes back, or the next run would find nothing to do:
# https://learn.microsoft.com/windows/wsl/wsl-config#the-8-second-rule-for-configuration-changes
# https://learn.microsoft.com/windows/wsl/basic-commands#shutdown
# wsl.exe is the package's own: the one in System32 may not run without a desktop (microsoft/WSL#9231). Where it lies, the
# package has written (msipackage/package.wix.in, Lxss\MSI). It prints nothing here, and ends with -1 if it fails.
# https://learn.microsoft.com/dotnet/api/system.io.file.replace
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$path = [System.IO.Path]::Combine([Environment]::GetFolderPath('UserProfile'), '.wslconfig')
$plain = [System.Text.UTF8Encoding]::new($false)

$before = $null
if ([System.IO.File]::Exists($path)) { $before = [System.IO.File]::ReadAllText($path) }
$answer = [ordered] @{ changed = $false; before = $before; after = $before; reboot_required = $false; stopped = $false }
$same = $null -eq $before -and $null -eq $wanted.text
if ($null -ne $before -and $null -ne $wanted.text) {
    $same = [string]::Equals($before, [string] $wanted.text, [StringComparison]::Ordinal)
}
if ($same) {
    ConvertTo-Json -InputObject $answer -Compress -Depth 2
    return
}

$new = "$path.new"
if ($null -eq $wanted.text) { [System.IO.File]::Delete($path) }
else {
    [System.IO.File]::WriteAllText($new, [string] $wanted.text, $plain)
    # Windows PowerShell makes '' of $null where a text is asked for, and '' is no name for a backup.
    if ([System.IO.File]::Exists($path)) { [System.IO.File]::Replace($new, $path, [NullString]::Value) }
    else { [System.IO.File]::Move($new, $path) }
}
$answer.after = $null
if ([System.IO.File]::Exists($path)) { $answer.after = [System.IO.File]::ReadAllText($path) }
$answer.changed = $true

$machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
$package = $machine.OpenSubKey('SOFTWARE\Microsoft\Windows\CurrentVersion\Lxss\MSI')
$location = ''
if ($null -ne $package) { $location = [string] $package.GetValue('InstallLocation', '') }
if ($wanted.shutdown -and $location -ne '') {
    try {
        $start = [System.Diagnostics.ProcessStartInfo]::new([System.IO.Path]::Combine($location, 'wsl.exe'), '--shutdown')
        $start.UseShellExecute = $false
        $start.CreateNoWindow = $true
        $start.RedirectStandardInput = $true
        $start.RedirectStandardOutput = $true
        $start.RedirectStandardError = $true
        $start.EnvironmentVariables['WSL_UTF8'] = '1'
        $start.EnvironmentVariables['WSL_DISABLE_WARNINGS'] = '1'
        $process = [System.Diagnostics.Process]::Start($start)
        $process.StandardInput.Close()
        $said = $process.StandardOutput.ReadToEndAsync()
        $complained = $process.StandardError.ReadToEndAsync()
        if (-not $process.WaitForExit(180000)) { throw 'wsl.exe --shutdown has not ended within 180 s.' }
        if ($process.ExitCode -ne 0) {
            $text = ''
            if ([System.Threading.Tasks.Task]::WaitAll([System.Threading.Tasks.Task[]] @($said, $complained), 2000)) {
                $text = $said.Result + ' ' + $complained.Result
            }
            throw "wsl.exe --shutdown ended with $($process.ExitCode): $text"
        }
    }
    catch {
        if ($null -eq $before) { [System.IO.File]::Delete($path) } else { [System.IO.File]::WriteAllText($path, $before, $plain) }
        throw
    }
    $answer.stopped = $true
}
ConvertTo-Json -InputObject $answer -Compress -Depth 2
