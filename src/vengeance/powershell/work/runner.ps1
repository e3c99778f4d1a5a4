# Surrounds a piece of long work: holds the lock that says it runs, keeps its progress, and writes down how it ended.
#
# It lies as runner.ps1 in the folder of the work, beside work.ps1 and input.json. work.ps1 gets input.json as -InputJson,
# calls Save-Progress with a dictionary as often as it likes, and ends by printing one JSON object, or by throwing a sentence.
# It writes progress.json at most once a second, and result.json at the end:
#       {"result": {...}, "error": null} or {"result": null, "error": "a sentence"}
#
# Both files are written beside their place and moved there, so that nobody reads half of one:
# https://learn.microsoft.com/dotnet/api/system.io.file.replace
# Windows closes the lock with the process, however that ends: https://learn.microsoft.com/dotnet/api/system.io.fileshare
# Folders of the account: https://learn.microsoft.com/dotnet/api/system.environment.specialfolder
# A function sees the variables of who calls it (about_Scopes), so what these need stands under a name of its own: $keeper.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$keeper = @{
    folder = $PSScriptRoot
    encoding = [System.Text.UTF8Encoding]::new($false)
    clock = [System.Diagnostics.Stopwatch]::StartNew()
    saved = $false
    lock = $null
}

# Somebody may be looking whether it is locked just now. A second runner ends here, for it would do the same work.
for ($try = 0; $try -lt 50 -and $null -eq $keeper.lock; $try++) {
    try {
        $keeper.lock = [System.IO.FileStream]::new([System.IO.Path]::Combine($keeper.folder, 'running.lock'),
            [System.IO.FileMode]::OpenOrCreate, [System.IO.FileAccess]::ReadWrite, [System.IO.FileShare]::None)
    }
    catch [System.IO.IOException] { [System.Threading.Thread]::Sleep(100) }
}
if ($null -eq $keeper.lock) { exit 1 }

function Write-Answer([string] $file, [string] $text) {
    $path = [System.IO.Path]::Combine($keeper.folder, $file)
    $new = "$path.new"
    [System.IO.File]::WriteAllText($new, $text, $keeper.encoding)
    # Windows PowerShell makes '' of $null where a text is asked for, and '' is no name for a backup.
    if ([System.IO.File]::Exists($path)) { [System.IO.File]::Replace($new, $path, [NullString]::Value) }
    else { [System.IO.File]::Move($new, $path) }
}

function Save-Progress($progress) {
    if ($keeper.saved -and $keeper.clock.Elapsed.TotalSeconds -lt 1) { return }
    $keeper.saved = $true
    $keeper.clock.Restart()
    # A reader that has the file open, or a full disk, is no reason to stop the work.
    try { Write-Answer 'progress.json' (ConvertTo-Json -InputObject $progress -Compress -Depth 8) }
    catch [System.IO.IOException], [System.UnauthorizedAccessException] { return }
}

# What WMI starts need not have the variables of its account, which installers ask for.
foreach ($pair in @(@('USERPROFILE', 'UserProfile'), @('APPDATA', 'ApplicationData'), @('LOCALAPPDATA', 'LocalApplicationData'))) {
    $place = [Environment]::GetFolderPath($pair[1])
    if ($place -ne '') { [Environment]::SetEnvironmentVariable($pair[0], $place) }
}
if ([Environment]::GetFolderPath('LocalApplicationData') -ne '') {
    $place = [System.IO.Path]::Combine([Environment]::GetFolderPath('LocalApplicationData'), 'Temp')
    [void] [System.IO.Directory]::CreateDirectory($place)
    [Environment]::SetEnvironmentVariable('TEMP', $place)
    [Environment]::SetEnvironmentVariable('TMP', $place)
}

Write-Answer 'process.json' (ConvertTo-Json -InputObject ([ordered] @{ pid = $PID }) -Compress -Depth 2)
$answer = [ordered] @{ result = $null; error = $null }
try {
    $text = [System.IO.File]::ReadAllText([System.IO.Path]::Combine($keeper.folder, 'input.json'))
    $said = @(& ([System.IO.Path]::Combine($keeper.folder, 'work.ps1')) -InputJson $text)
    $answer.result = ConvertFrom-Json -InputObject ([string]::Join("`n", [string[]] $said))
}
catch {
    $problem = $_.Exception
    while ($null -ne $problem.InnerException) { $problem = $problem.InnerException }
    $answer.error = [string] $problem.Message
    if ($answer.error -eq '') { $answer.error = $problem.GetType().FullName }
}
$text = ConvertTo-Json -InputObject $answer -Compress -Depth 12
$written = $false
for ($try = 0; $try -lt 50 -and -not $written; $try++) {
    try {
        Write-Answer 'result.json' $text
        $written = $true
    }
    catch [System.IO.IOException], [System.UnauthorizedAccessException] { [System.Threading.Thread]::Sleep(200) }
}
$keeper.lock.Dispose()
