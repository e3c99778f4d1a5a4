# Makes a WSL distribution of the account that this script runs as from an image that lies on the box.
#
# in:   {"distribution": "Ubuntu-24.04", "image": "C:\\ProgramData\\vengeance\\ubuntu.wsl", "path": "C:\\WSL\\Ubuntu-24.04"}
# out:  {"changed": true, "name": "Ubuntu-24.04", "path": "C:\\WSL\\Ubuntu-24.04"}
#       changed: false where it is registered already: it is left as it is
# Progress: {"bytes": 1234} of the disk that grows
#
# --import takes a .wsl file as it takes a plain archive, sets root as the user, and never asks anything:
# https://learn.microsoft.com/windows/wsl/build-custom-distro
# https://learn.microsoft.com/windows/wsl/use-custom-distro
# --web-download and --install are not used: they take what is newest, and --install ends well without installing anything
# where the feature is missing (microsoft/WSL, WslClient.cpp). Whether it is there is read from the registry, as what wsl.exe
# prints is translated: Lxss\{GUID}, DistributionName and State, 1 is installed (service/exe/DistributionRegistration).
# The folder above the new one must be there: wsl.exe makes only the last one (WslClient.cpp, ImportDistribution).
param([string] $InputJson)
$ErrorActionPreference = 'Stop'

$wanted = ConvertFrom-Json -InputObject $InputJson
$name = [string] $wanted.distribution
$path = [string] $wanted.path
if ($name -notmatch '^[A-Za-z0-9][A-Za-z0-9._-]*$') { throw "'$name' is no name of a WSL distribution." }
foreach ($place in @($path, [string] $wanted.image)) {
    if ($place -match '["<>|]' -or $place.EndsWith('\')) { throw "'$place' cannot stand on the command line of wsl.exe." }
}
$lxss = 'SOFTWARE\Microsoft\Windows\CurrentVersion\Lxss'

function Get-State([string] $distribution) {
    $registered = [Microsoft.Win32.RegistryKey]::OpenBaseKey('CurrentUser', 'Registry64').OpenSubKey($lxss)
    if ($null -eq $registered) { return 0 }
    foreach ($guid in $registered.GetSubKeyNames()) {
        $key = $registered.OpenSubKey($guid)
        if ([string] $key.GetValue('DistributionName', '') -eq $distribution) { return [int] $key.GetValue('State', 0) }
    }
    return 0
}

$answer = [ordered] @{ changed = $false; name = $name; path = $path }
if ((Get-State $name) -eq 1) {
    ConvertTo-Json -InputObject $answer -Compress -Depth 2
    return
}

$package = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64').OpenSubKey("$lxss\MSI")
if ($null -eq $package) { throw 'There is no WSL from its package on this box.' }
$wsl = [System.IO.Path]::Combine([string] $package.GetValue('InstallLocation', ''), 'wsl.exe')
[void] [System.IO.Directory]::CreateDirectory([System.IO.Path]::GetDirectoryName($path))

$arguments = '--import {0} "{1}" "{2}" --version 2' -f $name, $path, [string] $wanted.image
$start = [System.Diagnostics.ProcessStartInfo]::new($wsl, $arguments)
$start.UseShellExecute = $false
$start.CreateNoWindow = $true
$start.RedirectStandardInput = $true
$start.RedirectStandardOutput = $true
$start.RedirectStandardError = $true
$start.StandardOutputEncoding = [System.Text.Encoding]::UTF8
$start.StandardErrorEncoding = [System.Text.Encoding]::UTF8
$start.EnvironmentVariables['WSL_UTF8'] = '1'
$start.EnvironmentVariables['WSL_DISABLE_WARNINGS'] = '1'
$process = [System.Diagnostics.Process]::Start($start)
$process.StandardInput.Close()
$said = $process.StandardOutput.ReadToEndAsync()
$complained = $process.StandardError.ReadToEndAsync()
$disk = [System.IO.FileInfo]::new([System.IO.Path]::Combine($path, 'ext4.vhdx'))
while (-not $process.WaitForExit(1000)) {
    $disk.Refresh()
    $bytes = 0
    if ($disk.Exists) { $bytes = $disk.Length }
    Save-Progress ([ordered] @{ bytes = $bytes }) # ps51: allow command
}
$read = [System.Threading.Tasks.Task]::WaitAll([System.Threading.Tasks.Task[]] @($said, $complained), 5000)

# Exit code 0 alone is no proof.
if ($process.ExitCode -ne 0 -or (Get-State $name) -ne 1) {
    $text = ''
    if ($read) { $text = ($said.Result + ' ' + $complained.Result).Trim() -replace '\s+', ' ' }
    $room = [Math]::Floor([System.IO.DriveInfo]::new($path).AvailableFreeSpace / 1048576)
    throw "wsl.exe --import $name ended with $($process.ExitCode): $text Where its disk was to be, $room MB are free: " +
        'make room there if that is little, then run the deploy again.'
}
$answer.changed = $true
ConvertTo-Json -InputObject $answer -Compress -Depth 2
